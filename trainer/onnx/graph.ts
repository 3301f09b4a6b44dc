/** An ONNX graph as plain data: what is read from a file, built by us, differentiated, and written again. */

export type DataType = 'float32' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool' | 'float64' | 'float16' | 'string' | 'other'

export type TypedData = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array | Float64Array | Uint16Array

export interface TensorData {
  readonly type: DataType
  readonly shape: readonly number[]
  readonly data: TypedData
}

/** ONNX AttributeProto: INT as number, INTS as number[], FLOAT and FLOATS wrapped so that 1 and 1.0 stay apart. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly strings: readonly string[] }
  | { readonly tensor: TensorData }
  | { readonly graph: Graph }

export interface Node {
  readonly op: string
  /** '' is the standard domain. */
  readonly domain: string
  readonly name: string
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

export interface ValueInfo {
  readonly name: string
  readonly type: DataType
  /** A string is a symbolic dimension. */
  readonly shape: readonly (number | string)[]
}

export interface Graph {
  name: string
  inputs: ValueInfo[]
  outputs: ValueInfo[]
  /** In an order in which every value is made before it is used. */
  nodes: Node[]
  initializers: Map<string, TensorData>
  /** Operator set versions by domain; '' is the standard one. */
  opsets: Record<string, number>
  /** metadata_props */
  metadata: Record<string, string>
}

/** Nodes by the values that they read; one that reads a value twice is there twice. */
export function usersOf({ nodes }: Graph): Map<string, Node[]> {
  const users = new Map<string, Node[]>()
  for (const node of nodes)
    for (const name of node.inputs) {
      const known = users.get(name)
      if (known) known.push(node)
      else users.set(name, [node])
    }
  return users
}

/** The branches of an If. They see the values around them. */
export const branchesOf = ({ attributes }: Node): Graph[] =>
  Object.values(attributes).flatMap((each) => (typeof each === 'object' && 'graph' in each ? [each.graph] : []))

/** What a node depends on: its inputs, and what its branches take from around them. */
export const needsOf = (node: Node): string[] => [...node.inputs, ...branchesOf(node).flatMap(takenFromAround)]

function takenFromAround({ nodes, initializers, outputs }: Graph): string[] {
  const made = new Set([...initializers.keys(), ...nodes.flatMap((node) => node.outputs)])
  return [...nodes.flatMap(needsOf), ...outputs.map(({ name }) => name)].filter((name) => name !== '' && !made.has(name))
}

export function emptyGraph(name: string): Graph {
  return { name, inputs: [], outputs: [], nodes: [], initializers: new Map(), opsets: { '': 17 }, metadata: {} }
}

export const elementCount = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)

export function floatTensor(shape: readonly number[], data: ArrayLike<number>): TensorData {
  return { type: 'float32', shape, data: Float32Array.from(data) }
}

export function intTensor(shape: readonly number[], values: readonly number[]): TensorData {
  return { type: 'int64', shape, data: BigInt64Array.from(values, BigInt) }
}
