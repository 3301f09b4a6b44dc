/** Loops over pixels, on the memory of one WebAssembly module for each thread. */
import { growTo, instantiate, type Memory } from '../web-assembly.ts'
import { kernels } from './kernels.ts'

interface Kernels {
  readonly memory: Memory
  blend(out: number, top: number, bottom: number, columns: number, end: number, below: number): void
  recolour(at: number, end: number, matrix: number): void
}
const { memory, blend, recolour } = instantiate<Kernels>(kernels)

/** Kernels read and write a little beyond what they were asked for. */
const spare = 16

/** Makes room for so many bytes; views of before are no longer valid then. */
function memoryOf(bytes: number): ArrayBuffer {
  growTo(memory, bytes)
  return memory.buffer
}

/** Weights of pixels in 2^11ths: their products fit 32 bits (as in OpenCV's resize of bytes). */
export const weightOne = 1 << 11

/** Where an output column (or row) comes from: a source column, and the share of the one after it in 2^11ths. */
export interface Taps {
  readonly low: Int32Array
  readonly share: Int32Array
}

/**
 * Blends source pixels, RGB, into rows of an output: pixel (x, y) is the mean of four neighbours by the taps of its column and row.
 * @param at where in `out` the first pixel of each row lies, `stride` bytes after that of the row before
 */
export function blendInto(
  from: { readonly data: Uint8Array; readonly width: number; readonly height: number },
  columns: Taps,
  rows: Taps,
  out: Uint8Array,
  at: number,
  stride: number,
): void {
  const count = columns.low.length
  if (count === 0) return
  // Only what the columns touch of two source lines is brought over, so that it stays in the core's nearest cache.
  const first = Math.min(columns.low[0]!, columns.low[count - 1]!)
  const last = Math.min(Math.max(columns.low[0]!, columns.low[count - 1]!) + 1, from.width - 1)
  const span = (last - first + 1) * 3
  const room = (span + 2 * spare) & ~15
  const table = 2 * room
  const made = table + count * 8
  const bytes = new Uint8Array(memoryOf(made + count * 3 + spare))
  const words = new Int32Array(bytes.buffer, table, count * 2)
  for (let i = 0; i < count; i++) {
    const share = columns.share[i]!
    words[2 * i] = (columns.low[i]! - first) * 3
    words[2 * i + 1] = (weightOne - share) | (share << 16)
  }
  const row = bytes.subarray(made, made + count * 3)
  // Neighbouring lines are one even and one odd: each has its place, and stays there for the next row.
  const held = [-1, -1]
  const line = (y: number): number => {
    const place = y & 1
    const start = (y * from.width + first) * 3
    // From a whole word on: memory that threads share is copied byte by byte where source and target lie differently in their words.
    const aligned = start & ~7
    if (held[place] !== y) {
      bytes.set(from.data.subarray(aligned, start + span), place * room)
      held[place] = y
    }
    return place * room + start - aligned
  }
  for (let y = 0; y < rows.low.length; y++) {
    const top = line(rows.low[y]!)
    const bottom = rows.share[y] === 0 ? top : line(rows.low[y]! + 1)
    blend(made, top, bottom, table, made, rows.share[y]!)
    out.set(row, at + y * stride)
  }
}

/** Rows of weights and an offset for each of red, green and blue. */
export type ColourMatrix = readonly (readonly [red: number, green: number, blue: number, offset: number])[]

const matrixOne = 1 << 12

/** Every pixel (RGB) through a matrix, rounded and cut at 0 and 255, in place; weights between -8 and 8, to 2^-12. */
export function transformColours(pixels: Uint8Array, matrix: ColourMatrix): void {
  const start = 48
  const buffer = memoryOf(start + pixels.length + 3 * spare)
  const weights = new Int16Array(buffer, 0, 16)
  const offsets = new Int32Array(buffer, 32, 4)
  for (const [i, [red, green, blue, offset]] of matrix.entries()) {
    weights.set([Math.round(red * matrixOne), Math.round(green * matrixOne)], 2 * i)
    weights.set([Math.round(blue * matrixOne), 0], 8 + 2 * i)
    offsets[i] = Math.round((offset + 0.5) * matrixOne)
  }
  const own = new Uint8Array(buffer, start, pixels.length)
  own.set(pixels)
  recolour(start, start + pixels.length, 0)
  pixels.set(own)
}
