/** What a decoder process reads pictures from. */
import type { Picture } from '../../protocol/letterbox.ts'
import type { LabelledBox } from '../../protocol/primitives.ts'

export interface SourceFrame {
  /** Milliseconds since 1970. */
  readonly capturedAt: number
  /** Converted only when somebody looks: most frames of a quick camera are never looked at. */
  picture(): Picture | Promise<Picture>
  dispose(): void
  readonly truth?: readonly LabelledBox[]
}

export interface SourceOptions {
  readonly source: string
  /** 0: as the source has it. */
  readonly framesPerSecond: number
  readonly loop: boolean
  /** At the source's own speed; else as quickly as frames are taken, none left out. */
  readonly realTime: boolean
}

/** A generator that ends is a file at its end; one that throws is a lost camera, with the cause in words for people. */
export type Source = AsyncGenerator<SourceFrame, void, void>

/** A source without user and password, as it may be shown and logged. */
export const shownSource = (source: string) => source.replace(/\/\/[^@/]*@/, '//')
