/** A whole training step of YOLOX-nano and FastestDet against PyTorch's float64 autograd (tests/fixtures/foreign-step.py says how it was made). */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { losses } from '../../trainer/detector/loss.ts'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import { compileStep, packed } from '../../trainer/engine/step-graph.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { type ForeignModel, foreignModels, foreignStep } from '../support/foreign-step.ts'
import { projection } from '../support/reference-step.ts'
import { lacks } from '../support/shared-data.ts'

const Reference = Type.Object({
  loss: Type.Number(),
  boxLoss: Type.Number(),
  classLoss: Type.Number(),
  objectLoss: Type.Number(),
  gradients: Type.Record(
    Type.String(),
    Type.Object({ norm: Type.Number(), projection: Type.Number(), first: Type.Number(), middle: Type.Number() }),
  ),
})

const block = await cpuDialect()
const models = Object.keys(foreignModels) as ForeignModel[]

for (const model of models) {
  describe(`a whole training step of ${model}`, { skip: lacks(foreignModels[model].file, 'models/coco.names') }, () => {
    for (const dialect of new Set(['std', block] as const)) {
      it(`has PyTorch's float64 loss and gradients in ${dialect}`, async () => {
        const file = new URL(`../../../tests/fixtures/foreign-step.${model}.json`, import.meta.url)
        const reference = parseJson(Reference, await readFile(file, 'utf8'), file.pathname)
        const { core, graph, parameters, feeds } = await foreignStep(model)
        const step = compileStep({ graph, losses: [...losses], parameters, dialect })
        const flat = packed(core, step.parameters)
        const session = await ort.InferenceSession.create(writeOnnx(step.graph), {
          graphOptimizationLevel: 'disabled',
          enableMemPattern: false,
        })
        const known = new Set(session.inputNames)
        const tensors = Object.entries(feeds).map(
          ([name, { type, shape, data }]) => [name, new ort.Tensor(type, data as Float32Array, shape)] as const,
        )
        const inputs = Object.fromEntries(tensors.filter(([name]) => known.has(name)))
        const out = await session.run({ ...inputs, parameters: new ort.Tensor('float32', flat, [flat.length]) })
        await session.release()
        const told = out.losses!.data as Float32Array
        for (const [i, name] of losses.entries())
          assert.ok(
            Math.abs(told[i]! - reference[name]) < 1e-4 * reference[name],
            `${name} is ${told[i]}, wanted ${reference[name]}`,
          )
        const gradient = out.gradient!.data as Float32Array
        // The adopted file has every name behind a prefix; nothing that the reference trains may be left out.
        const own = new Map(step.parameters.map((slot) => [slot.name.replace(/^net\//, ''), slot]))
        assert.deepEqual(
          Object.keys(reference.gradients).filter((name) => !own.has(name)),
          [],
        )
        const largest = Math.max(...Object.values(reference.gradients).map(({ norm }) => norm))
        for (const [name, wanted] of Object.entries(reference.gradients)) {
          const { offset, size } = own.get(name)!
          const part = gradient.subarray(offset, offset + size)
          const norm = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0))
          // float32 against float64 over a hundred layers: as much as the largest gradients' rounding.
          const slack = 1e-5 * largest
          assert.ok(
            Math.abs(norm - wanted.norm) < 5e-3 * wanted.norm + slack,
            `the gradient of ${name} has the norm ${norm}, wanted ${wanted.norm}`,
          )
          for (const [ours, theirs] of [
            [part[0]!, wanted.first],
            [part[size >> 1]!, wanted.middle],
          ] as const)
            assert.ok(
              Math.abs(ours - theirs) < 5e-3 * wanted.norm + slack,
              `the gradient of ${name} has ${ours}, wanted ${theirs}`,
            )
          // Six is the largest weight of the projection.
          const off = Math.abs(projection(part) - wanted.projection)
          assert.ok(off < 0.02 * wanted.norm * Math.sqrt(size) + 6 * slack, `the gradient of ${name} points elsewhere`)
        }
      })
    }
  })
}
