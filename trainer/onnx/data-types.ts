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

/** Every TensorProto.DataType by its code, for messages. */
const names =
  'undefined float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128 bfloat16 float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz uint4 int4 float4e2m1 float8e8m0 uint2 int2'.split(
    ' ',
  )

export const nameOfCode = (code: number): string => names[code] ?? `type ${code}`

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
