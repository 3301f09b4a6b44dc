/** Every command of `muninn`, loaded only when it is asked for: a camera device has no hub installed. */
import type { CommandDef } from 'citty'

interface Entry {
  readonly description: string
  readonly load: () => Promise<CommandDef>
}

export const commands: Readonly<Record<string, Entry>> = {
  up: {
    description: 'the whole loop on this machine: hub, trainer, a device',
    load: async () => (await import('./up.ts')).up as CommandDef,
  },
  hub: {
    description: 'the hub: page, broker, queue, models',
    load: async () => (await import('../hub/commands/hub.ts')).hub as CommandDef,
  },
  agent: {
    description: 'the edge agent beside the cameras',
    load: async () => (await import('../edge-agent/commands/agent.ts')).agent as CommandDef,
  },
  trainer: {
    description: 'a trainer that works for a hub',
    load: async () => (await import('../trainer/commands/trainer.ts')).trainer as CommandDef,
  },
  inspect: {
    description: 'what an ONNX file is and what can be done with it',
    load: async () => (await import('../trainer/commands/inspect.ts')).inspect as CommandDef,
  },
  adopt: {
    description: "a foreign detector into the deployed model's form",
    load: async () => (await import('../trainer/commands/adopt.ts')).adopt as CommandDef,
  },
  detect: {
    description: 'boxes on a picture',
    load: async () => (await import('../trainer/commands/detect.ts')).detect as CommandDef,
  },
  train: {
    description: 'train on a folder of labelled pictures, no hub needed',
    load: async () => (await import('../trainer/commands/train.ts')).train as CommandDef,
  },
  quantize: {
    description: 'an int8 file of a deployed model, judged against it',
    load: async () => (await import('../trainer/commands/quantize.ts')).quantize as CommandDef,
  },
  evaluate: {
    description: 'the 12 COCO numbers of detections against ground truth',
    load: async () => (await import('../trainer/commands/evaluate.ts')).evaluate as CommandDef,
  },
  'demo-data': {
    description: 'draw a labelled data set of the demo street',
    load: async () => (await import('../edge-agent/commands/demo-data.ts')).demoData as CommandDef,
  },
}
