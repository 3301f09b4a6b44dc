/** ONNX TensorProto.DataType codes and the typed arrays that hold them. */
import type { DataType, TypedData } from './graph.ts'

const codes: Readonly<Record<Exclude<DataType, 'other'>, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
}

const types = new Map<number, DataType>(Object.entries(codes).map(([type, code]) => [code, type as DataType]))

export const typeOfCode = (code: number): DataType => types.get(code) ?? 'other'

export function codeOfType(type: DataType): number {
  if (type === 'other') throw new Error('a tensor of an unsupported type cannot be written')
  return codes[type]
}

/** Zeroed memory for `count` elements. */
export function allocate(type: DataType, count: number): TypedData {
  switch (type) {
    case 'float32':
      return new Float32Array(count)
    case 'uint8':
    case 'bool':
      return new Uint8Array(count)
    case 'int8':
      return new Int8Array(count)
    case 'int32':
      return new Int32Array(count)
    case 'int64':
      return new BigInt64Array(count)
    case 'float64':
      return new Float64Array(count)
    case 'float16':
      return new Uint16Array(count)
    default:
      throw new Error(`tensors of type ${type} are not supported`)
  }
}
