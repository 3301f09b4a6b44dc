/** A published layout to try adapters on: the file, and plain code that reads boxes and scores off its own outputs. */
import type { AdapterOptions } from '../../trainer/adapters/adapter.ts'
import type { Graph } from '../../trainer/onnx/graph.ts'
import { cellsOf } from './foreign-net.ts'

export const classes = ['a', 'b', 'c']
export const C = classes.length
export const size = { width: 96, height: 64 }
export const layout = { ...size, classes: C, loud: true }

export interface Candidate {
  readonly box: readonly [number, number, number, number]
  readonly scores: readonly number[]
}
export type Outputs = Readonly<Record<string, Float32Array>>

export interface Case {
  readonly name: string
  readonly adapter: string
  readonly graph: Graph
  /** Network number of a channel (0 red, 1 green, 2 blue) of a pixel, and the order of channels. */
  readonly prepare: (value: number, channel: number) => number
  readonly bgr: boolean
  readonly decode: (outputs: Outputs) => Candidate[]
  readonly architecture: string
  readonly head: string
  readonly options?: Partial<AdapterOptions>
  /** The same network with all its rows, where the file gives only the best of them. */
  readonly whole?: Graph
  /** Adapter that takes it as well, to run it. */
  readonly runBy?: string
  readonly resize?: 'letterbox' | 'stretch'
}

export const centred = (cx: number, cy: number, w: number, h: number) => [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2] as const
export const rowsOf = (data: Float32Array, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)))
export const gridOf = (strides: readonly number[]) =>
  strides.flatMap((stride) => cellsOf(size.width, size.height, stride).map(([x, y]) => ({ x, y, stride })))
export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
