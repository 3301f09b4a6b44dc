/**
 * The optimiser, as the graph for devices and as the processor's one pass, against the ONNX Adam and Momentum vectors and against AdamW in double precision.
 *
 * How the two definitions meet (ONNX ai.onnx.preview.training.Adam on the left, ours on the right):
 * alpha, beta are beta1, beta2; V, H are moment1, moment2; norm_coefficient is an L2 term inside the gradient, so g = G + norm_coefficient X;
 * R sqrt(1 - beta^T) / (1 - alpha^T) V / (sqrt(H) + epsilon) is our bias-corrected step with epsilon / sqrt(1 - beta^T), as ONNX adds
 * epsilon before the correction and we (as Kingma and Ba 2015 and PyTorch) after it; T = 0 means no correction. Our decay is decoupled
 * (Loshchilov and Hutter 2019, it never enters the moments) and has no counterpart there, nor has ONNX's norm_coefficient_post here.
 *
 * ONNX's Momentum: alpha is our momentum, V moment1, norm_coefficient our decay. Its beta weighs the gradient from the second step on; ours
 * is 1, as PyTorch's (dampening 0), and the vectors are of the first step.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Random } from '../../trainer/detector/random.ts'
import { clipping, rangesOf, Updater } from '../../trainer/engine/update.ts'
import { adam, type UpdateRule, updateGraph } from '../../trainer/engine/update-graph.ts'
import { Vectors as SharedVectors } from '../../trainer/engine/vectors.ts'
import type { TensorData } from '../../trainer/onnx/graph.ts'
import { floatOf } from '../../trainer/onnx/inference.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { archive, readOpVectors, tensorsOf } from '../support/op-vectors.ts'
import { lacks } from '../support/shared-data.ts'

type Vectors = Readonly<Record<'parameters' | 'moment1' | 'moment2' | 'gradient', readonly number[]>>
interface Scalars {
  readonly rate: number
  readonly correction1: number
  readonly correction2: number
  readonly decay?: number
  readonly clip?: number
}

type UpdateOf = (
  vectors: Vectors,
  scalars: Scalars,
  rule?: UpdateRule,
) => Promise<Readonly<Record<'parameters' | 'moment1' | 'moment2', number[]>>>

async function byGraph(vectors: Vectors, scalars: Scalars, rule: UpdateRule = adam) {
  const size = vectors.parameters.length
  const session = await ort.InferenceSession.create(writeOnnx(updateGraph(size, rule)))
  const one = (value: number) => new ort.Tensor('float32', [value], [1])
  const many = (values: readonly number[]) => new ort.Tensor('float32', [...values], [size])
  const out = await session.run({
    ...Object.fromEntries(Object.entries(vectors).map(([name, values]) => [name, many(values)])),
    average: many(vectors.parameters),
    rateScale: many(Array(size).fill(1)),
    decay: many(Array(size).fill(scalars.decay ?? 0)),
    rate: one(scalars.rate),
    correction1: one(scalars.correction1),
    correction2: one(scalars.correction2),
    averageDecay: one(0),
    clip: one(scalars.clip ?? 1e9),
  })
  await session.release()
  const values = (name: string) => Array.from(out[name]!.data as Float32Array)
  return { parameters: values('parametersOut'), moment1: values('moment1Out'), moment2: values('moment2Out') }
}

async function inOnePass(vectors: Vectors, scalars: Scalars, rule: UpdateRule = adam) {
  const size = vectors.parameters.length
  const made = new SharedVectors()
  const updater = new Updater(made.memory)
  const of = {
    parameters: made.copyOf(Float32Array.from(vectors.parameters)),
    moment1: made.copyOf(Float32Array.from(vectors.moment1)),
    moment2: made.copyOf(Float32Array.from(vectors.moment2)),
    average: made.zeros(size),
  }
  // Two equal parts have the mean of either.
  const [gradient, other] = [vectors.gradient, vectors.gradient].map((each) => made.copyOf(Float32Array.from(each)))
  const norm = Math.sqrt(updater.takeMean([gradient!, other!], [0.25, 0.75], [0, size]).reduce((sum, each) => sum + each, 0))
  const { rate, correction1, correction2, decay = 0, clip = 1e9 } = scalars
  for (const range of rangesOf(size, 2))
    updater.applyUpdate(
      {
        ...{
          rule,
          rate,
          correction1,
          correction2,
          averageDecay: 0,
          factor: clipping(norm, clip),
          gradient: gradient!,
          vectors: of,
        },
        ...{ rateScale: made.zeros(size).fill(1), decay: made.zeros(size).fill(decay) },
      },
      range,
    )
  assert.deepEqual(of.average, of.parameters)
  return { parameters: [...of.parameters], moment1: [...of.moment1], moment2: [...of.moment2] }
}

function assertClose(got: readonly number[], wanted: readonly number[], what: string): void {
  assert.equal(got.length, wanted.length)
  for (const [i, each] of wanted.entries())
    assert.ok(Math.abs(got[i]! - each) <= 2e-6 * Math.max(1, Math.abs(each)), `${what} ${i}: ${got[i]}, wanted ${each}`)
}

function optimiser(update: UpdateOf): void {
  // The numbers of adam_multiple were made with epsilon 0.01, which its model does not say (it leaves the default of 1e-6).
  for (const { name, stated } of [{ name: 'adam' }, { name: 'adam_multiple', stated: 1e-2 }]) {
    it(`gives what ONNX's vector ${name} gives`, { skip: lacks(archive) }, async () => {
      const vector = readOpVectors().find((each) => each.name === name)!
      const { attributes } = readOnnx(vector.model).nodes[0]!
      const [rate, time, ...tensors] = tensorsOf(vector.inputs) as [TensorData, TensorData, ...TensorData[]]
      const count = tensors.length / 4
      // All X, then all G, V and H; ours is one flat vector of each.
      const group = (from: readonly TensorData[], index: number) =>
        from.slice(index * count, (index + 1) * count).flatMap(({ data }) => Array.from(data, Number))
      const [x, g, moment1, moment2] = [0, 1, 2, 3].map((index) => group(tensors, index)) as [
        number[],
        number[],
        number[],
        number[],
      ]
      const [beta1, beta2] = [floatOf(attributes.alpha, 0.9), floatOf(attributes.beta, 0.999)]
      const decay = floatOf(attributes.norm_coefficient, 0)
      const t = Number(time.data[0])
      const [correction1, correction2] = t > 0 ? [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)] : [1, 1]
      const epsilon = (stated ?? floatOf(attributes.epsilon, 1e-6)) * Math.sqrt(correction2)
      const after = await update(
        { parameters: x, moment1, moment2, gradient: g.map((each, i) => each + decay * x[i]!) },
        { rate: Number(rate.data[0]), correction1, correction2 },
        { beta1, beta2, epsilon },
      )
      const wanted = tensorsOf(vector.outputs)
      assertClose(after.parameters, group(wanted, 0), 'parameter')
      assertClose(after.moment1, group(wanted, 1), 'first moment')
      assertClose(after.moment2, group(wanted, 2), 'second moment')
    })
  }

  for (const name of ['momentum', 'momentum_multiple', 'nesterov_momentum']) {
    it(`gives what ONNX's vector ${name} gives`, { skip: lacks(archive) }, async () => {
      const vector = readOpVectors().find((each) => each.name === name)!
      const { attributes } = readOnnx(vector.model).nodes[0]!
      const [rate, time, ...tensors] = tensorsOf(vector.inputs) as [TensorData, TensorData, ...TensorData[]]
      assert.equal(Number(time.data[0]), 0)
      const count = tensors.length / 3
      const group = (from: readonly TensorData[], index: number) =>
        from.slice(index * count, (index + 1) * count).flatMap(({ data }) => Array.from(data, Number))
      const mode = attributes.mode
      const after = await update(
        { parameters: group(tensors, 0), gradient: group(tensors, 1), moment1: group(tensors, 2), moment2: group(tensors, 2) },
        {
          ...{ rate: Number(rate.data[0]), decay: floatOf(attributes.norm_coefficient, 0) },
          ...{ correction1: Number.NaN, correction2: Number.NaN },
        },
        { momentum: floatOf(attributes.alpha, 0.9), nesterov: mode === 'nesterov' },
      )
      const wanted = tensorsOf(vector.outputs)
      assertClose(after.parameters, group(wanted, 0), 'parameter')
      assertClose(after.moment1, group(wanted, 1), 'momentum')
      assert.deepEqual(after.moment2, group(tensors, 2).map(Math.fround))
    })
  }

  it('follows AdamW in double precision over several steps, with decay apart from the gradient and the norm clipped', async () => {
    const [rate, decay, clip] = [0.01, 0.1, 1.5]
    const size = 6
    let state = {
      parameters: Array.from({ length: size }, (_, i) => Math.cos(i)),
      moment1: Array<number>(size).fill(0),
      moment2: Array<number>(size).fill(0),
    }
    let [p, m, v] = [state.parameters, state.moment1, state.moment2]
    for (let t = 1; t <= 8; t++) {
      const raw = p.map((_, i) => Math.sin(t * 3 + i) * (t % 2 === 0 ? 2 : 0.1))
      const [correction1, correction2] = [1 / (1 - adam.beta1 ** t), 1 / (1 - adam.beta2 ** t)]
      state = await update({ ...state, gradient: raw }, { rate, correction1, correction2, decay, clip })
      const g = raw.map((each) => each * Math.min(1, clip / (Math.hypot(...raw) + 1e-6)))
      m = m.map((each, i) => adam.beta1 * each + (1 - adam.beta1) * g[i]!)
      v = v.map((each, i) => adam.beta2 * each + (1 - adam.beta2) * g[i]! ** 2)
      const step = m.map((each, i) => (each * correction1) / (Math.sqrt(v[i]! * correction2) + adam.epsilon))
      p = p.map((each, i) => each - rate * decay * each - rate * step[i]!)
      assertClose(state.parameters, p, `parameter after step ${t},`)
    }
  })
}

describe('the update graph', () => optimiser(byGraph))
describe('the update in one pass', () => {
  optimiser(inOnePass)

  it('gives the same mean and squares for any number of threads', () => {
    const size = 200_001
    const part = (phase: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(i + phase))
    const results = [1, 2, 3, 7, 50].map((threads) => {
      const made = new SharedVectors()
      const gradients = [part(0), part(1), part(2)].map((each) => made.copyOf(each))
      const updater = new Updater(made.memory)
      const squares = rangesOf(size, threads).flatMap((range) => updater.takeMean(gradients, [0.5, 0.2, 0.3], range))
      return { squares, mean: gradients[0] }
    })
    for (const each of results.slice(1)) assert.deepEqual(each, results[0])
    const total = results[0]!.squares.reduce((sum, each) => sum + each, 0)
    const wanted = part(0).reduce((sum, each, i) => sum + (0.5 * each + 0.2 * Math.sin(i + 1) + 0.3 * Math.sin(i + 2)) ** 2, 0)
    assert.ok(Math.abs(total - wanted) < 1e-5 * wanted)
  })

  it('has room for 4 GiB of vectors, and says what to do about more', () => {
    const made = new SharedVectors()
    made.zeros(5)
    assert.throws(() => made.zeros(2 ** 30), { code: 'TOO_LARGE', message: /more than 4 GiB.*--batch/ })
    const vector = made.zeros(3)
    assert.deepEqual([vector.byteOffset, ...vector], [64, 0, 0, 0])
  })

  it('leaves the mean of one gradient as it is', () => {
    const made = new SharedVectors()
    const gradient = made.copyOf(Float32Array.from({ length: 7 }, (_, i) => Math.sin(i)))
    const before = gradient.slice()
    const [squares] = new Updater(made.memory).takeMean([gradient], [1], [0, 7])
    assert.deepEqual([...gradient], [...before])
    assert.equal(
      squares,
      before.reduce((sum, each) => sum + each ** 2, 0),
    )
  })

  it('is the formula in double precision, each number rounded once, and touches nothing outside of its range', () => {
    const [size, begin, end] = [200_003, 32_768, 163_840]
    const random = new Random(9)
    for (const rule of [adam, { momentum: 0.9, nesterov: true }, { momentum: 0.8, nesterov: false }]) {
      const made = new SharedVectors()
      const vector = (low: number) => made.copyOf(Float32Array.from({ length: size }, () => random.between(low, 1)))
      const [gradient, rateScale, decay] = [vector(-1), vector(0), vector(0)]
      const vectors = { parameters: vector(-1), moment1: vector(-1), moment2: vector(0), average: vector(-1) }
      const wanted = Object.fromEntries(Object.entries(vectors).map(([name, values]) => [name, values.slice()]))
      const scalars = { factor: 0.7, rate: 0.01, correction1: 1.3, correction2: 2.5, averageDecay: 0.99 }
      new Updater(made.memory).applyUpdate({ rule, vectors, gradient, rateScale, decay, ...scalars }, [begin, end])
      const { parameters, moment1, moment2, average } = wanted as Record<keyof typeof vectors, Float32Array>
      const { factor, rate, correction1, correction2, averageDecay } = scalars
      for (let i = begin; i < end; i++) {
        const old = parameters![i]!
        const shrunk = decay[i]! * old
        let p: number
        if ('momentum' in rule) {
          const g = gradient[i]! * factor + shrunk
          const m = rule.momentum * moment1![i]! + g
          p = old - rate * rateScale[i]! * (rule.nesterov ? g + rule.momentum * m : m)
          moment1![i] = m
        } else {
          const g = gradient[i]! * factor
          const m = rule.beta1 * moment1![i]! + (1 - rule.beta1) * g
          const v = rule.beta2 * moment2![i]! + (1 - rule.beta2) * g * g
          p = old - rate * rateScale[i]! * ((m * correction1) / (Math.sqrt(v * correction2) + rule.epsilon) + shrunk)
          moment1![i] = m
          moment2![i] = v
        }
        parameters![i] = p
        average![i] = averageDecay * average![i]! + (1 - averageDecay) * p
      }
      for (const [name, values] of Object.entries(vectors))
        assert.ok(
          values.every((each, i) => each === wanted[name]![i]),
          `${name}, ${JSON.stringify(rule)}`,
        )
    }
  })
})
