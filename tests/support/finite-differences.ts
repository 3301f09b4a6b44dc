/** Holds the gradient of a case against central finite differences in random directions. */
import assert from 'node:assert/strict'
import ort from 'onnxruntime-node'
import { total } from '../../trainer/engine/step-graph.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { type Case, stepOf } from './gradient-cases.ts'

export async function assertGradient(each: Case, dialect: Dialect): Promise<void> {
  const { step, start, uniform } = stepOf(each, dialect)
  const session = await ort.InferenceSession.create(writeOnnx(step.graph), {
    graphOptimizationLevel: 'disabled',
    enableMemPattern: false,
  })
  const statistics: Record<string, ort.Tensor> =
    step.statistics.length > 0 ? { statistics: new ort.Tensor('float32', new Float32Array(total(step.statistics))) } : {}
  const run = async (parameters: Float32Array) => {
    const feeds = {
      parameters: new ort.Tensor('float32', parameters, [parameters.length]),
      unused: new ort.Tensor('float32', [1], [1]),
      ...statistics,
    }
    const out = await session.run(feeds)
    return { loss: Number(out.losses!.data[0]), gradient: out.gradient!.data as Float32Array }
  }
  const { gradient } = await run(start)
  for (let direction = 0; direction < 3; direction++) {
    const way = Float32Array.from(start, () => uniform() * 2 - 1)
    const epsilon = each.epsilon ?? 1e-3
    const at = async (sign: number) => (await run(start.map((value, i) => value + sign * epsilon * way[i]!))).loss
    const numeric = ((await at(1)) - (await at(-1))) / (2 * epsilon)
    const exact = gradient.reduce((sum, value, i) => sum + value * way[i]!, 0)
    const size = Math.max(Math.hypot(...gradient), 1e-3)
    assert.ok(
      Math.abs(numeric - exact) / size < (each.tolerance ?? 5e-3),
      `finite differences say ${numeric}, the rule says ${exact}`,
    )
  }
  await session.release()
}
