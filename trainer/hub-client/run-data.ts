/** What a run learns from and is measured on: the records of its data set version as samples, and the pictures without labels. */
import { type Static, Type } from 'typebox'
import { DatasetRecord } from '../../protocol/http/datasets.ts'
import type { RunLease } from '../../protocol/http/trainers.ts'
import { type Said, say } from '../../protocol/sentences.ts'
import type { LabelledSample } from '../data/sample.ts'
import type { Unlabelled } from '../loop/self-train.ts'
import type { HubApi } from './hub-api.ts'
import type { RunFiles } from './run-files.ts'

type Record = Static<typeof DatasetRecord>

export interface SplitData {
  readonly records: readonly Record[]
  readonly samples: readonly LabelledSample[]
}

export interface RunData {
  readonly training: SplitData
  readonly heldOut: SplitData
  /** null: the run does not ask for any, or none waited in the queue. */
  readonly unlabelled: Unlabelled | null
  /** Words for people. */
  readonly notes: readonly Said[]
}

export async function fetchRunData(
  { run, baseDataset, unlabelled }: Pick<RunLease, 'run' | 'baseDataset' | 'unlabelled'>,
  {
    api,
    files,
    signal,
    onFile,
  }: { api: HubApi; files: RunFiles; signal: AbortSignal; onFile: (done: number, of: number) => void },
): Promise<RunData> {
  const { classes } = run.dataset
  const { recipe, teacher } = run.settings
  const recordsOf = async (id: number) => await api.get(`/api/datasets/${id}/records`, Type.Array(DatasetRecord), { signal })
  const records = await recordsOf(run.dataset.id)
  let fetched = 0
  const onOne = () => onFile(++fetched, records.length + unlabelled.length)
  const of = async (split: Record['split']): Promise<SplitData> => {
    const chosen = records.filter((record) => record.split === split)
    return { records: chosen, samples: await files.samples(chosen, { classes, signal, onFile: onOne }) }
  }
  const [training, heldOut] = [await of('train'), await of('held-out')]
  const notes: Said[] = []
  for (const name of classes) {
    const count = training.records.filter(({ notExhaustive = [] }) => notExhaustive.includes(name)).length
    if (count > 0) notes.push(say('log.not-looked-for', { pictures: count, label: name }))
  }
  // Who is old matters only where old pictures get a share of their own.
  const old = typeof recipe.replay === 'number' && baseDataset !== null ? knownTo(await recordsOf(baseDataset)) : () => false
  const samples = training.samples.map((sample, i) => (old(training.records[i]!) ? { ...sample, old: true } : sample))
  const count = samples.filter((sample) => sample.old).length
  if (count > 0) notes.push(say('log.old', { old: count, all: samples.length }))
  const paths = await files.pictures(unlabelled, { signal, onFile: onOne })
  if (run.settings.unlabelled > 0)
    notes.push(paths.length > 0 ? say('log.queue', { pictures: paths.length }) : say('log.queue-empty'))
  return {
    training: { records: training.records, samples },
    heldOut,
    unlabelled: paths.length > 0 ? { paths, teacher: teacher === null ? null : await files.model(teacher, signal) } : null,
    notes,
  }
}

/** Whether these records have a picture with the same boxes. */
function knownTo(records: readonly Record[]): (record: Record) => boolean {
  const before = new Map(records.map(({ image, annotations }) => [image, JSON.stringify(annotations)]))
  return ({ image, annotations }) => before.get(image) === JSON.stringify(annotations)
}
