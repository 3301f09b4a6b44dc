/** Where a step graph runs. An executor compiles an ONNX graph for one device and keeps tensors there between the runs. */
import type { Feeds } from '../feeds.ts'

/** What people choose between with `--device`. */
export const devices = ['cpu', 'webgpu', 'cuda', 'tfjs'] as const
export type Device = (typeof devices)[number]

/** `T` is the executor's own tensor, which may lie on its device. Whoever got one from a run frees it. */
export interface Executor<T> {
  /** What really computes, in words; known once something was compiled. */
  readonly description: string
  /** Whether it computes on a processor though it poses as a graphics card (SwiftShader, llvmpipe). */
  readonly software: boolean
  compile(model: Uint8Array, options: { kept: readonly string[] }): Promise<Program<T>>
  read(tensor: T): Promise<Float32Array>
  free(tensor: T): void
  close(): Promise<void>
}

export interface Program<T> {
  /** Runs once: `feeds` come from this process's memory, `held` are tensors of earlier runs. The outputs called `kept` stay on the device. */
  run(inputs: { feeds: Feeds; held: Readonly<Record<string, T>> }): Promise<Readonly<Record<string, T>>>
  close(): Promise<void>
}
