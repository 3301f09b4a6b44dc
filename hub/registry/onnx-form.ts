/** Reads the names and types of an ONNX file's inputs and outputs, no more: enough to refuse a file that no device could run. */
import { MuninnError } from '../../protocol/errors.ts'
import { say } from '../../protocol/sentences.ts'

interface Value {
  readonly name: string
  /** onnx.TensorProto.DataType: 1 float32, 2 uint8 */
  readonly type: number
}

type Field = { readonly number: number; readonly bytes: Uint8Array } | { readonly number: number; readonly value: number }

const float32 = 1
const uint8 = 2
const typeNames: Readonly<Record<number, string>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  10: 'float16',
  11: 'float64',
}

/**
 * Checks the deployed-model form (design: "The deployed model"): uint8 `image` in; float32 `boxes`, `scores`, `embedding` out.
 * Field numbers are those of onnx.proto (ModelProto.graph 7; GraphProto.input 11, output 12, initializer 5).
 * @throws MuninnError BAD_MODEL naming what is missing
 */
export function checkDeployedForm(file: Uint8Array): void {
  let inputs: Value[]
  let outputs: Value[]
  try {
    const graph = only([...fields(file)], 7)
    const parts = [...fields(graph)]
    inputs = blocks(parts, 11).map(readValue)
    outputs = blocks(parts, 12).map(readValue)
  } catch (cause) {
    throw new MuninnError('BAD_MODEL', say('error.no-onnx'), { cause })
  }
  const faults = [
    ...missing(inputs, 'input', 'image', uint8),
    ...['boxes', 'scores', 'embedding'].flatMap((name) => missing(outputs, 'output', name, float32)),
    ...(inputs.length > 1 ? [`it has ${inputs.length} inputs instead of one`] : []),
  ]
  if (faults.length > 0)
    throw new MuninnError(
      'BAD_MODEL',
      `not in the deployed-model form: ${faults.join('; ')}. \`muninn adopt\` makes it from a foreign detector.`,
    )
}

function missing(values: readonly Value[], kind: string, name: string, type: number): string[] {
  const found = values.find((value) => value.name === name)
  if (!found) return [`no ${kind} '${name}'`]
  return found.type === type
    ? []
    : [`${kind} '${name}' is ${typeNames[found.type] ?? `type ${found.type}`}, not ${typeNames[type]}`]
}

/** ValueInfoProto: name 1, type 2 -> TypeProto.tensor_type 1 -> elem_type 1. */
function readValue(bytes: Uint8Array): Value {
  const parts = [...fields(bytes)]
  const tensor = [...fields(only([...fields(only(parts, 2))], 1))]
  const type = tensor.find((field) => field.number === 1)
  return { name: new TextDecoder().decode(only(parts, 1)), type: type && 'value' in type ? type.value : 0 }
}

function blocks(parts: readonly Field[], number: number): Uint8Array[] {
  return parts.flatMap((field) => (field.number === number && 'bytes' in field ? [field.bytes] : []))
}

function only(parts: readonly Field[], number: number): Uint8Array {
  const [found] = blocks(parts, number)
  if (!found) throw new RangeError(`no field ${number}`)
  return found
}

/** The fields of one protobuf message (protobuf.dev, "Encoding"); views, nothing is copied. */
function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0
  const varint = () => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length || scale > 2 ** 63) throw new RangeError('varint cut off')
      const byte = bytes[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  const take = (length: number) => {
    if (at + length > bytes.length) throw new RangeError('field cut off')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = varint()
    const number = Math.floor(key / 8)
    if (number === 0) throw new RangeError('field 0')
    switch (key % 8) {
      case 0:
        yield { number, value: varint() }
        break
      case 1:
        yield { number, bytes: take(8) }
        break
      case 2:
        yield { number, bytes: take(varint()) }
        break
      case 5:
        yield { number, bytes: take(4) }
        break
      default:
        throw new RangeError('unknown wire type')
    }
  }
}
