/** Blocks of the detectors that people have, small, differentiated as a whole against finite differences: rules that work together. */
import { describe, it } from 'node:test'
import { cpuDialect } from '../../trainer/engine/dialect.ts'
import type { Dialect } from '../../trainer/gradients/rule.ts'
import type { GraphBuilder, Value } from '../../trainer/graph/builder.ts'
import { assertGradient } from '../support/finite-differences.ts'
import type { Case } from '../support/gradient-cases.ts'

type Attributes = Record<string, number | string | number[] | { float: number }>
const op = (g: GraphBuilder, kind: string, inputs: (Value | null)[], attributes: Attributes = {}) =>
  g.op(kind, inputs, { attributes })
const pooled = (g: GraphBuilder, x: Value, k: number) =>
  op(g, 'MaxPool', [x], { kernel_shape: [k, k], strides: [1, 1], pads: Array(4).fill((k - 1) / 2) })
const silu = (g: GraphBuilder, x: Value) => g.mul(x, g.sigmoid(x))
/** Statistics of the batch, as in training: the scale is a parameter. */
const normalized = (g: GraphBuilder, x: Value, scale: Value, bias: Value) => {
  const channels = x.shape[1]!
  const constant = (value: number) => g.constant(new Float32Array(channels).fill(value), [channels])
  return op(g, 'BatchNormalization', [x, scale, bias, constant(0), constant(1)], { epsilon: { float: 1e-3 } })
}
/** LayerNormalization as it was exported before opset 17. */
function layerNormalized(g: GraphBuilder, x: Value, scale: Value, bias: Value): Value {
  const centred = g.sub(x, g.mean(x, [-1], true))
  const variance = g.mean(g.op('Pow', [centred, g.constant(2)]), [-1], true)
  return g.add(g.mul(g.div(centred, g.sqrt(g.add(variance, g.constant(1e-5)))), scale), bias)
}

const blocks: readonly (Case & { readonly name: string })[] = [
  {
    name: 'a ViT block: LayerNormalization, attention by MatMul and Softmax, an MLP with Gelu by Erf',
    op: 'block',
    what: 'ViT',
    // tokens, then scale and bias twice, and the matrices of query-key-value, projection and MLP
    shapes: [[2, 5, 8], [8], [8], [8, 24], [24], [8, 8], [8], [8], [8, 16], [16], [16, 8]],
    build: (g, [x, scale1, bias1, qkv, qkvBias, projection, scale2, bias2, up, upBias, down]) => {
      const joint = g.add(g.matMul(layerNormalized(g, x!, scale1!, bias1!), qkv!), qkvBias!)
      // [3, batch, heads, tokens, 4]
      const heads = g.transpose(g.reshape(joint, [2, 5, 3, 2, 4]), [2, 0, 3, 1, 4])
      const [query, key, value] = [0, 1, 2].map((i) => op(g, 'Gather', [heads, g.reshape(g.ints([i]), [])], { axis: 0 }))
      const scores = g.scale(g.matMul(query!, g.transpose(key!, [0, 1, 3, 2])), 0.5)
      const mixed = g.transpose(g.matMul(op(g, 'Softmax', [scores], { axis: -1 }), value!), [0, 2, 1, 3])
      const attended = g.add(x!, g.matMul(g.reshape(mixed, [2, 5, 8]), projection!))
      const hidden = g.add(g.matMul(op(g, 'LayerNormalization', [attended, scale2!, bias2!]), up!), upBias!)
      const gelu = g.scale(g.mul(hidden, g.add(g.op('Erf', [g.div(hidden, g.constant(Math.SQRT2))]), g.constant(1))), 0.5)
      return g.add(attended, g.matMul(gelu, down!))
    },
  },
  {
    name: 'a PicoDet block: depthwise convolution, HardSwish, squeeze and excitation with HardSigmoid',
    op: 'block',
    what: 'PicoDet',
    shapes: [[2, 16, 6, 6], [16, 1, 3, 3], [16], [16], [4, 16, 1, 1], [4], [16, 4, 1, 1], [16], [16, 16, 1, 1]],
    build: (g, [x, depthwise, scale, bias, squeeze, squeezeBias, excite, exciteBias, pointwise]) => {
      const h = op(g, 'HardSwish', [normalized(g, g.conv(x!, depthwise!, null, { pad: 1, group: 16 }), scale!, bias!)])
      const s = g.relu(g.conv(g.op('GlobalAveragePool', [h]), squeeze!, squeezeBias!))
      const gate = op(g, 'HardSigmoid', [g.conv(s, excite!, exciteBias!)], { alpha: { float: 1 / 6 }, beta: { float: 0.5 } })
      return g.conv(g.mul(h, gate), pointwise!, null)
    },
    tolerance: 2e-2,
  },
  {
    name: 'YOLOv8 SPPF: three pools in a row, whose plateaus tie, joined',
    op: 'block',
    what: 'SPPF',
    shapes: [
      [1, 8, 7, 7],
      [16, 8, 1, 1],
      [8, 64, 1, 1],
    ],
    build: (g, [x, first, last]) => {
      const a = silu(g, g.conv(x!, first!, null))
      const b = pooled(g, a, 5)
      const c = pooled(g, b, 5)
      return silu(g, g.conv(g.concat([a, b, c, pooled(g, c, 5)], 1), last!, null))
    },
    // A greater step makes another pixel the greatest.
    epsilon: 3e-4,
  },
  {
    name: 'YOLOv8 C2f: Split, SiLU, a shortcut, joined',
    op: 'block',
    what: 'C2f',
    shapes: [
      [2, 8, 5, 5],
      [32, 8, 1, 1],
      [16, 16, 3, 3],
      [16, 16, 3, 3],
      [8, 48, 1, 1],
    ],
    build: (g, [x, first, one, two, last]) => {
      const [a, b] = g.ops('Split', [silu(g, g.conv(x!, first!, null)), g.ints([16, 16])], {
        attributes: { axis: 1 },
        outputs: 2,
      })
      const deeper = silu(g, g.conv(silu(g, g.conv(b!, one!, null, { pad: 1 })), two!, null, { pad: 1 }))
      return silu(g, g.conv(g.concat([a!, b!, g.add(b!, deeper)], 1), last!, null))
    },
  },
  {
    name: 'a ShuffleNet unit: channel shuffle by Reshape and Transpose, halves by Gather, depthwise convolution',
    op: 'block',
    what: 'ShuffleNet',
    shapes: [[2, 8, 6, 6], [4, 4, 1, 1], [4], [4], [4, 1, 3, 3], [4, 4, 1, 1]],
    build: (g, [x, first, scale, bias, depthwise, last]) => {
      const shuffled = g.transpose(g.reshape(x!, [8, 2, 36]), [1, 0, 2])
      const halves = g.reshape(shuffled, [2, -1, 4, 6, 6])
      const [left, right] = [0, 1].map((i) => op(g, 'Gather', [halves, g.reshape(g.ints([i]), [])], { axis: 0 }))
      const inner = g.relu(normalized(g, g.conv(right!, first!, null), scale!, bias!))
      return g.concat([left!, g.conv(g.conv(inner, depthwise!, null, { pad: 1, group: 4 }), last!, null)], 1)
    },
    tolerance: 2e-2,
  },
  {
    name: 'an RFB block: dilated branches with live BatchNormalization, joined and added to a shortcut',
    op: 'block',
    what: 'RFB',
    shapes: [[2, 8, 8, 8], [4, 8, 1, 1], [4], [4], [4, 4, 3, 3], [4], [4], [4, 4, 3, 3], [16, 8, 1, 1], [16, 8, 1, 1]],
    build: (g, [x, reduce, s0, b0, near, s1, b1, far, join, shortcut]) => {
      const a = g.relu(normalized(g, g.conv(x!, reduce!, null), s0!, b0!))
      const dilated = (input: Value, w: Value, d: number) =>
        op(g, 'Conv', [input, w], { kernel_shape: [3, 3], pads: [d, d, d, d], dilations: [d, d] })
      const branches = g.concat([normalized(g, dilated(a, near!, 2), s1!, b1!), dilated(a, far!, 3)], 1)
      return g.relu(g.add(g.scale(g.conv(branches, join!, null), 0.5), g.conv(x!, shortcut!, null)))
    },
    tolerance: 2e-2,
  },
  {
    name: 'an EfficientNet block: expansion with Swish, squeeze and excitation, a frozen BatchNormalization, Relu6 as Clip',
    op: 'block',
    what: 'MBConv',
    shapes: [
      [2, 8, 6, 6],
      [16, 8, 1, 1],
      [16, 1, 3, 3],
      [4, 16, 1, 1],
      [16, 4, 1, 1],
      [8, 16, 1, 1],
    ],
    build: (g, [x, expand, depthwise, squeeze, excite, project]) => {
      const h = silu(g, g.conv(silu(g, g.conv(x!, expand!, null)), depthwise!, null, { pad: 1, group: 16 }))
      const gate = g.sigmoid(g.conv(silu(g, g.conv(g.op('GlobalAveragePool', [h]), squeeze!, null)), excite!, null))
      const y = g.conv(g.mul(h, gate), project!, null)
      const given = (value: number) => g.constant(new Float32Array(8).fill(value), [8])
      const frozen = op(g, 'BatchNormalization', [y, given(1.5), given(0.5), given(0.1), given(2)])
      return g.add(x!, op(g, 'Clip', [frozen, g.constant(0), g.constant(6)]))
    },
    tolerance: 2e-2,
  },
  {
    name: 'a residual block whose layers stay in the blocked layout: dense, pointwise and strided convolutions, live BatchNormalization far from zero',
    op: 'block',
    what: 'residual',
    shapes: [[2, 16, 8, 8], [16, 16, 3, 3], [16], [16], [16, 16, 1, 1], [16, 1, 3, 3], [16], [32, 16, 3, 3], [16, 32, 4, 4]],
    build: (g, [x, first, scale, bias, pointwise, depthwise, shift, down, last]) => {
      // Lifted by four, as unlike zero as the outputs of layers without a bias become.
      const lifted = g.conv(x!, first!, g.constant(Array(16).fill(4), [16]), { pad: 1 })
      const rectified = g.relu(normalized(g, lifted, scale!, bias!))
      const mixed = silu(g, g.conv(rectified, pointwise!, null))
      const joined = g.add(rectified, g.conv(mixed, depthwise!, shift!, { pad: 1, group: 16 }))
      const narrow = g.conv(joined, depthwise!, null, { stride: 2, pad: 1, group: 16 })
      const wide = op(g, 'LeakyRelu', [g.conv(joined, down!, null, { stride: 2, pad: 1 })], { alpha: { float: 0.1 } })
      const back = g.conv(wide, last!, null, { stride: 2, pad: 1 })
      return g.concat([g.reshape(narrow, [2, -1]), g.reshape(wide, [2, -1]), g.reshape(back, [2, -1])], 1)
    },
    tolerance: 2e-2,
  },
  {
    name: 'a feature pyramid: linear upsampling, ConvTranspose and PRelu',
    op: 'block',
    what: 'FPN',
    shapes: [
      [1, 8, 4, 4],
      [1, 8, 8, 8],
      [8, 8, 2, 2],
      [8, 1, 1],
    ],
    build: (g, [coarse, fine, up, slope]) => {
      const linear = op(g, 'Resize', [coarse!, null, g.constant([1, 1, 2, 2], [4])], { mode: 'linear' })
      const learnt = op(g, 'ConvTranspose', [coarse!, up!], { kernel_shape: [2, 2], strides: [2, 2] })
      return op(g, 'PRelu', [g.add(g.add(linear, learnt), fine!), slope!])
    },
    tolerance: 2e-2,
  },
]

const block = await cpuDialect()
const dialects: readonly Dialect[] = block === 'std' ? ['std'] : ['std', block]

describe('blocks of detectors', () => {
  for (const dialect of dialects)
    for (const each of blocks)
      it(`${each.name}: the gradient agrees with finite differences in ${dialect}`, () => assertGradient(each, dialect))
})
