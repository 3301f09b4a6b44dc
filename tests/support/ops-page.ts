/** The page that says of every ONNX op what the trainer does with it, made from the tables that do it. */
import type { Dialect } from '../../trainer/gradients/rule.ts'
import { differentiable } from '../../trainer/gradients/rules.ts'
import { foldable } from '../../trainer/onnx/evaluate.ts'
import { inferable } from '../../trainer/onnx/shapes.ts'
import { type Case, cases, stepOf } from './gradient-cases.ts'

/** Ops of the step graphs of these cases: forward and gradient. */
function emitted(of: readonly Case[], dialect: Dialect): Set<string> {
  const nodes = of.flatMap((each) => stepOf(each, dialect).step.graph.nodes)
  return new Set(nodes.map(({ op, domain }) => (domain === '' ? op : `${domain}.${op}`)))
}

/** Every case sums up weighted outputs and has flat parameters: those ops say nothing of a rule. */
const frame = new Set('Add Concat ConstantOfShape Expand Identity Mul ReduceSum Reshape Slice Split'.split(' '))

function gradientOf(op: string): { std: string; cpu: string } {
  const own = cases.filter((each) => each.op === op)
  const [std, blocked] = [emitted(own, 'std'), emitted(own, 'nchwc16')]
  const list = (ops: Iterable<string>) => [...ops].sort().join(', ')
  return {
    std: list([...std].filter((each) => each !== op && !frame.has(each))),
    cpu: list([...blocked].filter((each) => !std.has(each) && !frame.has(each))),
  }
}

export function opsPage(): string {
  const ops = [...new Set([...inferable, ...differentiable])].sort()
  const yes = (is: boolean) => (is ? 'yes' : '')
  const rows = ops.map((op) => {
    // An Upsample is lifted to a Resize before its gradient is taken.
    const { std, cpu } = differentiable.includes(op) ? gradientOf(op) : { std: '', cpu: '' }
    const count = cases.filter((each) => each.op === op).length
    const differentiated = differentiable.includes(op) ? (count > 0 ? `yes (${count})` : 'yes, as Resize') : ''
    return `| ${[op, yes(inferable.includes(op)), yes(foldable.includes(op)), differentiated, std, cpu].join(' | ')} |`
  })
  return `# What the trainer does with each ONNX op

Made by \`npm run docs:ops\` from the tables in \`trainer/onnx\` and \`trainer/gradients\` and the cases of the gradient tests; a test fails when it is out of date.
${ops.length} ops; ${differentiable.length} are differentiated, by ${cases.length} cases of finite differences.

* Every op here is run by stock onnxruntime on the CPU, which the same cases and those of the shapes prove. A model with other ops can still
  be run where onnxruntime knows them; \`muninn inspect\` says what holds it back.
* **shape**: inferred before the run, so a graph with the op can be adopted, changed in size and checked.
* **folded**: small values of it are worked out before the run (arithmetic on shapes).
* **differentiated**: its gradient is known (how many cases); each case is held against finite differences in every dialect.
* **std**: what its forward and gradient are made of on every provider (CPU, WebGPU, CUDA, TensorFlow.js), beside the arithmetic that every step has.
* **cpu**: what takes the place of some of that in the blocked layout of onnxruntime's CPU provider (\`com.microsoft.nchwc\`, probed at the start).

| op | shape | folded | differentiated | std | cpu |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}
