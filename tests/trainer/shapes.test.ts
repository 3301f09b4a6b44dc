/** Shape inference of ops that are run but not differentiated; those that are, the gradient cases and the step graphs hold. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ort from 'onnxruntime-node'
import { differentiable } from '../../trainer/gradients/rules.ts'
import { GraphBuilder } from '../../trainer/graph/builder.ts'
import { infer } from '../../trainer/onnx/infer.ts'
import { inferable } from '../../trainer/onnx/shapes.ts'
import { writeOnnx } from '../../trainer/onnx/write.ts'
import { shapeCases } from '../support/shape-cases.ts'

describe('shape inference', () => {
  for (const { op, opset, build } of shapeCases) {
    it(`${op} infers the shape and type that onnxruntime gives`, async () => {
      const g = new GraphBuilder('case')
      if (opset) g.graph.opsets[''] = opset
      // onnxruntime refuses a graph without a node.
      const values = build(g)
      if (g.graph.nodes.length === 0) g.op('Identity', [values[0]!])
      // Open output shapes, so that nothing of ours is taken for granted.
      for (const { name, type, shape } of values) g.graph.outputs.push({ name, type, shape: shape.map((_, i) => `${name}_${i}`) })
      const session = await ort.InferenceSession.create(writeOnnx(g.graph), { logSeverityLevel: 4 })
      const results = await session.run({})
      await session.release()
      const tolerant = infer(g.graph)
      assert.deepEqual(tolerant.faults, [])
      for (const { name, type, shape } of values) {
        const { type: found, dims } = results[name]!
        assert.equal(type, found)
        assert.equal(shape.length, dims.length)
        for (const [axis, size] of shape.entries()) if (size !== -1) assert.equal(size, dims[axis], `axis ${axis}`)
        assert.deepEqual(tolerant.values.get(name)?.shape, shape)
        const known = g.constantOf(name)
        if (known)
          assert.deepEqual(Array.from(known.data as ArrayLike<unknown>), Array.from(results[name]!.data as ArrayLike<unknown>))
      }
    })
  }

  it('has a case for every op that it knows', () => {
    const tested = new Set([...shapeCases.map(({ op }) => op), ...differentiable])
    assert.deepEqual(
      inferable.filter((op) => !tested.has(op)),
      [],
    )
  })
})
