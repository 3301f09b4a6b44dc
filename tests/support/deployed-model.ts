/** Writes a tiny real ONNX file in the deployed-model form: constants behind an uint8 image. onnxruntime runs it. */

const utf8 = new TextEncoder()

function varint(value: number): number[] {
  const bytes: number[] = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return [...bytes, value]
}

const number = (field: number, value: number) => Uint8Array.from([...varint(field * 8), ...varint(value)])
const block = (field: number, ...parts: readonly Uint8Array[]) => {
  const bytes = Buffer.concat(parts)
  return Buffer.concat([Uint8Array.from([...varint(field * 8 + 2), ...varint(bytes.length)]), bytes])
}
const text = (field: number, value: string) => block(field, utf8.encode(value))

const float32 = 1

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
const tensor = (shape: readonly number[], values: readonly number[], name: string) =>
  Buffer.concat([
    ...shape.map((size) => number(1, size)),
    number(2, float32),
    text(8, name),
    block(9, new Uint8Array(Float32Array.from(values).buffer)),
  ])

/** ValueInfoProto: name 1, type 2 -> tensor_type 1 -> elem_type 1, shape 2 -> dim 1 -> dim_value 1. */
const value = (name: string, type: number, shape: readonly number[]) =>
  Buffer.concat([text(1, name), block(2, block(1, number(1, type), block(2, ...shape.map((size) => block(1, number(1, size))))))])

/** NodeProto: input 1, output 2, op_type 4. */
const identity = (from: string, to: string) => Buffer.concat([text(1, from), text(2, to), text(4, 'Identity')])

const contents: Readonly<Record<string, { shape: readonly number[]; values: readonly number[] }>> = {
  boxes: { shape: [1, 4], values: [8, 8, 24, 24] },
  scores: { shape: [1, 1], values: [0.9] },
  embedding: { shape: [2], values: [1, 0] },
  output0: { shape: [1], values: [0] },
}

/**
 * @param score what it always says of its one box
 * @param size width and height of its input
 * @param imageType, outputs: to make one that is not in the form
 */
export function deployedModel({
  score = 0.9,
  size = 32,
  imageType = 2,
  outputs = ['boxes', 'scores', 'embedding'],
}: {
  score?: number
  size?: number
  imageType?: number
  outputs?: readonly string[]
} = {}): Uint8Array {
  const graph = Buffer.concat([
    ...outputs.map((name) => block(1, identity(`${name}_value`, name))),
    text(2, 'always-the-same'),
    ...outputs.map((name) => {
      const { shape, values } = contents[name]!
      return block(5, tensor(shape, name === 'scores' ? [score] : values, `${name}_value`))
    }),
    block(11, value('image', imageType, [1, size, size, 3])),
    ...outputs.map((name) => block(12, value(name, float32, contents[name]!.shape))),
  ])
  // ModelProto: ir_version 1, graph 7, opset_import 8 -> version 2.
  return Buffer.concat([number(1, 8), block(7, graph), block(8, number(2, 17))])
}
