/** Filters as int8 with one symmetric scale per output channel, biases as int32 (Krishnamoorthi 2018). Pure. */

export interface QuantizedFilters {
  readonly values: Int8Array
  /** One per output channel. */
  readonly scales: Float32Array
}

/**
 * Seven bits by default: onnxruntime's kernels for x86 without VNNI add two products of uint8 and int8 in 16 bits, which eight bits
 * overflow (onnxruntime, "Quantize ONNX models", reduce_range), and it is not known where a file will run.
 */
export const weightLimit = 63

/** int32 biases must stay far from the end of their range. */
const biasLimit = 2 ** 30

/** @param biases and the input's scale raise a channel's scale where its bias would not fit into 32 bits */
export function quantizeFilters(
  weights: Float32Array,
  channels: number,
  { biases, inputScale, limit = weightLimit }: { biases?: Float32Array | null; inputScale: number; limit?: number },
): QuantizedFilters {
  const size = weights.length / channels
  const values = new Int8Array(weights.length)
  const scales = new Float32Array(channels)
  for (let c = 0; c < channels; c++) {
    const own = weights.subarray(c * size, (c + 1) * size)
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const least = Math.abs(biases?.[c] ?? 0) / (biasLimit * inputScale)
    const scale = Math.fround(Math.max(largest / limit, least, 1e-12))
    scales[c] = scale
    for (const [i, value] of own.entries()) values[c * size + i] = Math.max(-limit, Math.min(limit, Math.round(value / scale)))
  }
  return { values, scales }
}

/** A bias is added to the sums of products, so its scale is the product of both scales. */
export function quantizeBiases(
  biases: Float32Array,
  scales: Float32Array,
  inputScale: number,
): { values: Int32Array; scales: Float32Array } {
  const products = scales.map((scale) => scale * inputScale)
  return { values: Int32Array.from(biases, (bias, c) => Math.round(bias / products[c]!)), scales: products }
}
