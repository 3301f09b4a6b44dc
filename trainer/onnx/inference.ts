/** What a rule of shape inference is, and how it reads a node. */
import { type Attribute, type DataType, elementCount, type Node, type TensorData } from './graph.ts'

export interface Shaped {
  readonly shape: readonly number[]
  readonly type: DataType
}

export interface InferenceInput {
  readonly node: Pick<Node, 'op' | 'name' | 'inputs' | 'outputs' | 'attributes'>
  /** null for an optional input that is left out */
  readonly inputs: readonly (Shaped | null)[]
  /** The value of an input when it is known before the run. */
  readonly constant: (index: number) => TensorData | undefined
}

export type ShapeRule = (input: InferenceInput) => readonly Shaped[]

export const intOf = (attribute: Attribute | undefined, fallback: number): number =>
  typeof attribute === 'number' ? attribute : fallback
export const intsOf = (attribute: Attribute | undefined): readonly number[] | undefined =>
  Array.isArray(attribute) ? (attribute as readonly number[]) : undefined
export const floatOf = (attribute: Attribute | undefined, fallback: number): number =>
  typeof attribute === 'object' && 'float' in attribute ? attribute.float : fallback
export const textOf = (attribute: Attribute | undefined, fallback: string): string =>
  typeof attribute === 'string' ? attribute : fallback

export const numbers = (tensor: TensorData | undefined): number[] | undefined =>
  tensor && Array.from(tensor.data as ArrayLike<number | bigint>, Number)

/** Integers that opsets before 13 gave as an attribute and later ones as an input. */
export const ints = ({ node, constant }: InferenceInput, name: string, index: number): number[] | undefined =>
  numbers(constant(index)) ?? intsOf(node.attributes[name])?.slice()

export function first({ inputs, node }: InferenceInput): Shaped {
  const [value] = inputs
  if (!value) throw new Error(`${node.op} ${node.name} lacks its first input`)
  return value
}

/** The output is as the first input. */
export const same: ShapeRule = (input) => [first(input)]

/** For a shape that hangs on a value which nothing here knows. */
export const unknown = ({ node: { op, name } }: InferenceInput, what: string) =>
  new Error(`${op} ${name} has ${what} that is known only in the run`)

export const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** Multidirectional broadcasting (ONNX, Broadcasting in ONNX). */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const [x, y] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1]
    if (x === 1) return y
    if (y === 1 || x === y || y === -1) return x
    if (x === -1) return y
    throw new Error(`shapes [${a}] and [${b}] do not broadcast`)
  })
}

/** Elements of a shape; -1 where a size is unknown. */
export const countOf = (shape: readonly number[]): number => (shape.includes(-1) ? -1 : elementCount(shape))

/** The sizes that Shape gives; from `start` to `end` since opset 15. */
export function shapeSlice({ start, end }: Node['attributes'], shape: readonly number[]): readonly number[] {
  return shape.slice(intOf(start, 0), typeof end === 'number' ? end : undefined)
}
