/** What an adapter is: it knows one family of foreign detectors and writes the nodes around it that make a deployed model's core. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Specification } from '../detector/specification.ts'
import type { Graph } from '../onnx/graph.ts'
import type { Foreign } from './foreign.ts'

/** What network pixels are: (pixel 0..255 x scale - mean) / deviation, by channel in the network's own order. */
export interface Normalization {
  readonly channels: 'rgb' | 'bgr'
  readonly scale: number
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
}

/** What people can tell that the file cannot. */
export interface AdapterOptions {
  readonly classes: readonly string[]
  readonly normalization?: { readonly [K in keyof Normalization]?: Normalization[K] | undefined }
  readonly resize?: Specification['resize']
  /** Form of the boxes of a raw model. */
  readonly boxes?: 'xyxy' | 'cxcywh'
  /** Widths and heights in input pixels of the anchors of a YOLOv3 to v5, Yolo-FastestV2, SSD, EfficientDet or RetinaNet export without decoding, fine grid to coarse. */
  readonly anchors?: readonly number[]
  /** Whether people say which family it is: then what several families have alike is read as this one has it. */
  readonly named?: boolean
}

export interface Adopted {
  /** `image` uint8 [1, H, W, 3] to the rows that the specification names. */
  readonly core: Graph
  readonly specification: Specification
  readonly width: number
  readonly height: number
  /** Whether classes are numbers in its rows, so that nothing in it tells how many there are. */
  readonly anyClasses?: boolean
  /** For people: what it was recognised by, and what could not be had. */
  readonly why: string
}

/** @throws MuninnError BAD_MODEL naming what is not as this family has it */
export type Adapter = (foreign: Foreign, options: AdapterOptions) => Promise<Adopted>

export const misfit = (family: string, words: string) => new MuninnError('BAD_MODEL', `this is no ${family} detector: ${words}`)

/** How pictures are prepared: as the family's authors do it, where the file itself or people do not tell otherwise. */
export function preparation(
  normalization: Normalization,
  foreign: Pick<Foreign, 'normalization'>,
  { normalization: told = {} }: AdapterOptions,
): Normalization {
  const given = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined))
  return { ...normalization, ...foreign.normalization, ...given }
}

export const asTrained: Normalization = { channels: 'rgb', scale: 1, mean: [0, 0, 0], deviation: [1, 1, 1] }
