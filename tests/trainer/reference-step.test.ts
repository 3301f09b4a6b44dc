/** A whole training step of the built-in detector against PyTorch's float64 autograd (tests/fixtures/reference-step.py says how it was made). */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { losses } from '../../trainer/detector/loss.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { orderFilters } from '../../trainer/engine/filter-order.ts'
import { compileStep, packed, total } from '../../trainer/engine/step-graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { projection, referenceStep } from '../support/reference-step.ts'

const Reference = Type.Object({
  loss: Type.Number(),
  boxLoss: Type.Number(),
  classLoss: Type.Number(),
  gradients: Type.Record(Type.String(), Type.Object({ norm: Type.Number(), projection: Type.Number() })),
})
const fixture = new URL('../../../tests/fixtures/reference-step.json', import.meta.url)

describe('a whole training step', async () => {
  const block = await cpuDialect()
  for (const dialect of new Set(['std', block] as const)) {
    it(`has PyTorch's float64 loss and gradients in ${dialect}`, async () => {
      const reference = parseJson(Reference, await readFile(fixture, 'utf8'), 'reference-step.json')
      const { core, graph, parameters, feeds } = referenceStep()
      const step = compileStep({ graph, losses: [...losses], parameters, dialect, filtersInBlocks: true })
      const flat = packed(core, step.parameters)
      orderFilters(flat, step.parameters, 'blocks')
      const session = await ort.InferenceSession.create(writeOnnx(step.graph), {
        graphOptimizationLevel: 'disabled',
        enableMemPattern: false,
      })
      const inputs: Record<string, ort.Tensor> = {
        parameters: new ort.Tensor('float32', flat, [flat.length]),
        statistics: new ort.Tensor('float32', new Float32Array(total(step.statistics)), [total(step.statistics)]),
      }
      for (const [name, { type, shape, data }] of Object.entries(feeds))
        inputs[name] = new ort.Tensor(type, data as Float32Array, shape)
      const known = new Set(session.inputNames)
      const out = await session.run(Object.fromEntries(Object.entries(inputs).filter(([name]) => known.has(name))))
      const [loss, boxLoss, classLoss] = out.losses!.data as Float32Array
      for (const [ours, theirs] of [
        [loss, reference.loss],
        [boxLoss, reference.boxLoss],
        [classLoss, reference.classLoss],
      ] as const) {
        assert.ok(Math.abs(ours! - theirs) < 1e-4 * Math.abs(theirs), `a loss is ${ours}, wanted ${theirs}`)
      }
      const gradient = out.gradient!.data as Float32Array
      orderFilters(gradient, step.parameters, 'plain')
      let squares = 0
      let missed = 0
      for (const { name, offset, size } of step.parameters) {
        const { norm, projection: wanted } = reference.gradients[name]!
        const part = gradient.subarray(offset, offset + size)
        const ours = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0))
        assert.ok(Math.abs(ours - norm) < 5e-3 * norm + 1e-5, `the gradient of ${name} has the norm ${ours}, wanted ${norm}`)
        // Six is the largest weight of the projection.
        assert.ok(
          Math.abs(projection(part) - wanted) < 0.05 * norm * Math.sqrt(size) + 1e-4,
          `the gradient of ${name} points elsewhere`,
        )
        squares += norm ** 2
        missed += (ours - norm) ** 2
      }
      assert.ok(Math.sqrt(missed / squares) < 2e-3)
      await session.release()
    })
  }
})
