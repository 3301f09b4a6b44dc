/** Every gradient rule against central finite differences, from one table of cases. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { differentiable } from '../../trainer/gradients/rules.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { assertGradient } from '../support/finite-differences.ts'
import { type Case, cases, conv, stepOf } from '../support/gradient-cases.ts'

const block = await cpuDialect()
/** The newest opset as well: what was read stays in its own, and the gradient must speak it. */
const forms: readonly { dialect: Dialect; opset?: number }[] = [
  { dialect: 'std' },
  { dialect: 'std', opset: 23 },
  ...(block === 'std' ? [] : [{ dialect: block }]),
]

describe('gradient rules', () => {
  for (const { dialect, opset } of forms) {
    for (const each of cases) {
      // A case that names its opset is of that opset only.
      if (opset && each.opset) continue
      it(`${each.op} (${each.what}) agrees with finite differences in ${dialect}${opset ? `, opset ${opset}` : ''}`, () =>
        assertGradient(opset ? { ...each, opset } : each, dialect))
    }
  }

  it('has a case for every rule', () => {
    const tested = new Set(cases.map(({ op }) => op))
    // Upsample is Resize under its old name, and upgrade() renames it.
    assert.deepEqual(
      differentiable.filter((op) => !tested.has(op) && op !== 'Upsample'),
      [],
    )
  })
})

/** Larger than the cache, so that the gradient of the filter is made picture by picture and these in strips of rows. */
const large = [
  conv({ ci: 3, co: 32, k: 3, size: 91, stride: 2, pad: 1 }),
  conv({ ci: 16, co: 64, k: 3, size: 45, pad: 1 }),
  conv({ n: 3, ci: 16, co: 32, k: 5, size: 66, stride: 2, pad: 1 }),
  conv({ ci: 16, co: 64, k: 3, size: 50, dilation: 2 }),
  // As many pictures as a block has channels.
  conv({ n: 16, ci: 2, co: 16, k: 3, size: 12, pad: 1 }),
  // Unfolded, all pictures are more than a device's shader may see at once.
  conv({ n: 2, ci: 16, co: 16, k: 3, size: 400, pad: 1 }),
  conv({ n: 2, ci: 32, co: 32, k: 3, size: 256, stride: 1, pad: 1, group: 32 }),
]

async function gradientOf(each: Case, dialect: Dialect) {
  const { step, start } = stepOf(each, dialect)
  const session = await ort.InferenceSession.create(writeOnnx(step.graph), { graphOptimizationLevel: 'disabled' })
  const feeds = { parameters: new ort.Tensor('float32', start, [start.length]), unused: new ort.Tensor('float32', [1], [1]) }
  const { gradient } = await session.run(feeds)
  await session.release()
  const convolutions = step.graph.nodes.filter(({ op }) => op === 'Conv').length
  return { gradient: gradient!.data as Float32Array, convolutions, parameters: step.parameters }
}

describe('Conv in the blocked layout', { skip: block === 'std' && 'this processor has no blocked layout' }, () => {
  for (const each of large)
    it(`has the gradients of the standard ops: ${each.what}`, async () => {
      const [blocked, standard] = await Promise.all([block, 'std' as const].map((dialect) => gradientOf(each, dialect)))
      for (const { name, offset, size } of standard!.parameters) {
        const [ours, theirs] = [blocked!, standard!].map(({ gradient }) => gradient.subarray(offset, offset + size))
        const squares = theirs!.reduce((sum, value) => sum + value * value, 0)
        const error = theirs!.reduce((sum, value, i) => sum + (value - ours![i]!) ** 2, 0)
        assert.ok(Math.sqrt(error / squares) < 1e-5, `${name}: ${Math.sqrt(error / squares)}`)
      }
    })

  it('cuts large ones into pieces', async () => {
    const { convolutions } = await gradientOf(large[1]!, block)
    assert.equal(convolutions, 2 + 4, 'forward, input gradient, and two strips of each of two pictures')
  })
})
