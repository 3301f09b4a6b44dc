/**
 * The optimiser as a small graph over flat vectors, with an exponential moving average of the parameters: AdamW (Loshchilov and Hutter 2019),
 * or stochastic gradient descent with momentum (Sutskever et al. 2013, as ONNX's Momentum and PyTorch's SGD have it). It is for devices; the
 * processor has the same rules in update.ts.
 */
import { GraphBuilder, type Value } from '../graph/builder.ts'
import type { Graph } from '../onnx/graph.ts'

export const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
export interface Momentum {
  readonly momentum: number
  readonly nesterov: boolean
}
export type UpdateRule = typeof adam | Momentum

/** The rule of a recipe's `momentum`. */
export const ruleOf = (momentum: number): UpdateRule => (momentum > 0 ? { momentum, nesterov: true } : adam)

/**
 * Inputs, all float32 [size] unless said: parameters, moment1, moment2, average, gradient, rateScale (factor of the learning rate),
 * decay (weight decay: AdamW's apart from the gradient, momentum's added to it), and scalars [1]: rate, correction1 = 1/(1-beta1^t),
 * correction2 = 1/(1-beta2^t), averageDecay, clip (greatest L2 norm of the gradient).
 * Outputs: parameters', moment1', moment2', average', norm (of the gradient before clipping, [1]; not finite where the gradient or a
 * new parameter is not, so that one number tells whether the step may be kept). Momentum has no use for moment2 and the corrections.
 */
export function updateGraph(size: number, rule: UpdateRule = adam): Graph {
  const g = new GraphBuilder('update')
  const vector = (name: string) => g.input(name, 'float32', [size])
  const scalar = (name: string) => g.input(name, 'float32', [1])
  const [parameters, moment1, moment2, average] = ['parameters', 'moment1', 'moment2', 'average'].map(vector)
  const raw = vector('gradient')
  const [rateScale, decay] = ['rateScale', 'decay'].map(vector)
  const [rate, correction1, correction2, averageDecay, limit] = [
    'rate',
    'correction1',
    'correction2',
    'averageDecay',
    'clip',
  ].map(scalar)
  const norm = g.op('ReduceL2', [raw], { attributes: { keepdims: 1 } })
  const gradient = g.mul(raw, g.min(g.div(limit!, g.add(norm, g.constant(1e-6))), g.constant(1)))
  const shrinking = g.mul(decay!, parameters!)
  const [m, v, step] =
    'momentum' in rule
      ? momentumStep(g, rule, { gradient: g.add(gradient, shrinking), moment1: moment1!, moment2: moment2! })
      : adamStep(g, rule, {
          gradient,
          moment1: moment1!,
          moment2: moment2!,
          correction1: correction1!,
          correction2: correction2!,
        })
  const move = 'momentum' in rule ? step : g.add(step, shrinking)
  const p = g.sub(parameters!, g.mul(g.mul(rate!, rateScale!), move))
  const e = g.add(g.mul(average!, averageDecay!), g.mul(p, g.sub(g.constant(1), averageDecay!)))
  g.output(p, 'parametersOut')
  g.output(m, 'moment1Out')
  g.output(v, 'moment2Out')
  g.output(e, 'averageOut')
  // Infinity and NaN times 0 are NaN; anything else adds nothing.
  g.output(g.add(norm, g.scale(g.reshape(g.sum(p), [1]), 0)), 'norm')
  return g.graph
}

type Step = [moment1: Value, moment2: Value, step: Value]

function adamStep(
  g: GraphBuilder,
  { beta1, beta2, epsilon }: typeof adam,
  of: Readonly<Record<'gradient' | 'moment1' | 'moment2' | 'correction1' | 'correction2', Value>>,
): Step {
  const m = g.add(g.scale(of.moment1, beta1), g.scale(of.gradient, 1 - beta1))
  const v = g.add(g.scale(of.moment2, beta2), g.scale(g.mul(of.gradient, of.gradient), 1 - beta2))
  return [m, v, g.div(g.mul(m, of.correction1), g.add(g.sqrt(g.mul(v, of.correction2)), g.constant(epsilon)))]
}

function momentumStep(
  g: GraphBuilder,
  { momentum, nesterov }: Momentum,
  of: Readonly<Record<'gradient' | 'moment1' | 'moment2', Value>>,
): Step {
  const m = g.add(g.scale(of.moment1, momentum), of.gradient)
  return [m, g.op('Identity', [of.moment2]), nesterov ? g.add(of.gradient, g.scale(m, momentum)) : m]
}
