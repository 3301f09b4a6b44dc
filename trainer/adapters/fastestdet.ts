/**
 * FastestDet (dog-qiuqiu, 2022): BGR / 255 in, the picture stretched to the input; one grid with [objectness, tanh x, tanh y, sigmoid w,
 * sigmoid h, class probabilities], activations partly inside. Score = objectness^0.6 x best class^0.4. Run, not trained.
 */
import { GraphBuilder } from '../graph/builder.ts'
import { type Adapter, coarsestFeature, misfit, pictureInput } from './adapter.ts'

const family = 'FastestDet'

export const fastestdet: Adapter = (graph, classes) => {
  const { name, width, height } = pictureInput(graph, family)
  const output = graph.outputs[0]
  const [, channels, rows, columns] = (output?.shape ?? []).map(Number)
  if (graph.outputs.length !== 1 || output?.shape.length !== 4 || channels !== 5 + classes.length || !rows || !columns) {
    throw misfit(
      family,
      `its output is [${output?.shape.join(', ')}]; with ${classes.length} classes [1, ${5 + classes.length}, h, w] is wanted`,
    )
  }
  const g = new GraphBuilder('fastestdet', 'adopted/')
  Object.assign(g.graph.opsets, graph.opsets)
  const image = g.input('image', 'uint8', [1, height, width, 3])
  const pixels = g.op('Cast', [g.transpose(g.slice(image, [-1], [-5], [3], [-1]), [0, 3, 1, 2])], { attributes: { to: 1 } })
  g.op('Mul', [pixels, g.constant(1 / 255)], { name })
  for (const [key, tensor] of graph.initializers) g.initializer(key, tensor)
  for (const node of graph.nodes) g.append(node)

  const cells = rows * columns
  const grid = g.transpose(g.reshape(g.value(output.name), [channels, cells]), [1, 0])
  const column = (from: number, to: number) => g.slice(grid, [from], [to], [1])
  const places = (of: (cell: number) => number) =>
    g.constant(
      Float32Array.from({ length: cells }, (_, cell) => of(cell)),
      [cells, 1],
    )
  const cx = g.scale(
    g.add(
      g.op('Tanh', [column(1, 2)]),
      places((cell) => cell % columns),
    ),
    width / columns,
  )
  const cy = g.scale(
    g.add(
      g.op('Tanh', [column(2, 3)]),
      places((cell) => Math.floor(cell / columns)),
    ),
    height / rows,
  )
  const w = g.scale(g.sigmoid(column(3, 4)), width / 2)
  const h = g.scale(g.sigmoid(column(4, 5)), height / 2)
  const boxes = g.concat([g.sub(cx, w), g.sub(cy, h), g.add(cx, w), g.add(cy, h)], 1)
  const kinds = column(5, channels)
  const best = g.op('ReduceMax', [kinds], { attributes: { axes: [1], keepdims: 1 } })
  const isBest = g.op('Cast', [g.op('Equal', [kinds, best])], { attributes: { to: 1 } })
  const score = g.mul(g.op('Pow', [column(0, 1), g.constant(0.6)]), g.op('Pow', [best, g.constant(0.4)]))
  const scores = g.mul(isBest, score)
  return {
    core: g.graph,
    width,
    height,
    specification: {
      v: 1,
      architecture: 'fastestdet',
      classes: [...classes],
      resize: 'stretch',
      head: 'fixed',
      rows: boxes.name,
      scores: scores.name,
      feature: coarsestFeature(g),
      strides: [width / columns],
      classifiers: [],
      nms: 'class-agnostic',
      nmsIou: 0.45,
    },
  }
}
