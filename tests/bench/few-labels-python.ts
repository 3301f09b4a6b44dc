/** Hands a training to few-labels-torch.py: the same start, labels, steps and rate; what it found comes back to be measured like ours. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { defaultRecipe, type Recipe } from '../../protocol/recipe.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { coreOf } from '../../trainer/detector/core.ts'
import { specificationOf } from '../../trainer/detector/specification.ts'
import type { EvaluatedPicture } from '../../trainer/evaluation/coco.ts'
import { layersOf, stageRates } from '../../trainer/loop/layers.ts'
import { startingModel } from '../../trainer/loop/start.ts'
import { peakRate, rateDecayOf, type TrainOptions } from '../../trainer/loop/train.ts'
import { readOnnx } from '../../trainer/onnx/read.ts'

const Answer = Type.Object({
  seconds: Type.Number(),
  found: Type.Array(
    Type.Array(
      Type.Object({
        box: Type.Tuple([Type.Number(), Type.Number(), Type.Number(), Type.Number()]),
        label: Type.Integer(),
        score: Type.Number(),
      }),
    ),
  ),
})

/** Factors of the learning rate by parameter. */
function stageRatesOf(file: Uint8Array, recipe: Recipe): Record<string, number> {
  const graph = readOnnx(file)
  const specification = specificationOf(graph)
  return Object.fromEntries(stageRates(layersOf(coreOf(graph, specification)), rateDecayOf(recipe, specification)))
}

export async function trainWithPyTorch(
  options: TrainOptions,
  { heldOut, python }: { heldOut: readonly LabelledSample[]; python: string },
): Promise<{ pictures: EvaluatedPicture[]; seconds: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'muninn-few-labels-'))
  try {
    const model = join(folder, 'start.onnx')
    await writeFile(model, startingModel(options))
    const script = fileURLToPath(new URL('../../../tests/bench/few-labels-torch.py', import.meta.url))
    const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.end(
      JSON.stringify({
        model,
        samples: options.samples,
        heldOut: heldOut.map(({ path }) => path),
        classes: options.classes.length,
        device: options.device === 'cpu' ? 'cpu' : 'cuda',
        size: options.inputSize,
        steps: options.steps,
        seed: options.seed,
        batch: options.batch ?? 8,
        rate: peakRate(options, { head: 'yolox', architecture: 'yolox' }),
        stageRates: stageRatesOf(await readFile(model), { ...defaultRecipe, ...options.recipe }),
      }),
    )
    const [answer, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
    if (code !== 0) throw new Error(`few-labels-torch.py ended with ${code}`)
    const { seconds, found } = parseJson(Answer, answer, 'answer of few-labels-torch.py')
    return { seconds, pictures: heldOut.map(({ labels }, i) => ({ truths: labels, predictions: found[i]! })) }
  } finally {
    await rm(folder, { recursive: true })
  }
}
