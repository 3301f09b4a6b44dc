/** What the agent and a decoder process say to each other (structured clone over the process channel). */
import type { ModelInput } from '../../protocol/manifest.ts'
import type { CameraState } from '../../protocol/topics.ts'
import type { WatchedFrame } from '../watching/watched-camera.ts'
import type { SourceOptions } from './source.ts'

export type ToDecoder =
  | { readonly kind: 'open'; readonly options: SourceOptions }
  | { readonly kind: 'input'; readonly input: ModelInput }
  | { readonly kind: 'next' }
  | {
      readonly kind: 'jpeg'
      readonly request: number
      readonly frame: number
      readonly quality: number
      readonly maxWidth?: number
    }

export type FromDecoder =
  | {
      readonly kind: 'status'
      readonly state: CameraState
      readonly cause?: string
      readonly width: number
      readonly height: number
    }
  | { readonly kind: 'frame'; readonly frame: WatchedFrame | null }
  | {
      readonly kind: 'jpeg'
      readonly request: number
      readonly jpeg: Uint8Array
      readonly width: number
      readonly height: number
    }
  | { readonly kind: 'gone'; readonly request: number; readonly cause: string }
