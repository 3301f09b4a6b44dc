/** Every gradient rule by ONNX op name. */
import { activation } from './activation.ts'
import { convolution } from './convolution.ts'
import { elementwise } from './elementwise.ts'
import { layerNormalization } from './layer-normalization.ts'
import { normalization } from './normalization.ts'
import { pooling } from './pooling.ts'
import { reduction } from './reduction.ts'
import type { Rule } from './rule.ts'
import { scatter } from './scatter.ts'
import { shape } from './shape.ts'

const table = {
  ...elementwise,
  ...activation,
  ...shape,
  ...scatter,
  ...reduction,
  ...convolution,
  ...normalization,
  ...layerNormalization,
  ...pooling,
} satisfies Record<string, Rule>

/** Ops that are differentiated, sorted. */
export const differentiable: readonly string[] = Object.keys(table).sort()

/** The rule of an op. @throws Error naming the op that has none */
export function ruleOf(op: string, name: string): Rule {
  if (!Object.hasOwn(table, op))
    throw new Error(`op ${op} (node ${name}) has no gradient rule; parts with it can be run, not trained`)
  return table[op as keyof typeof table]
}
