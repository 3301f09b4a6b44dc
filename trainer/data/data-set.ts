/** What a training is given: pictures to learn from, pictures held out, and what people should know about them. */
import { createHash } from 'node:crypto'
import { MuninnError } from '../../protocol/errors.ts'
import { some } from './declared.ts'
import { holdOut, sameMoment } from './hold-out.ts'
import { acrossSplit } from './look-alikes.ts'
import { type FolderSample, type LabelledFolder, type ReadOptions, readFolder } from './read-folder.ts'

export interface DataSet {
  readonly classes: readonly string[]
  readonly training: readonly FolderSample[]
  readonly heldOut: readonly FolderSample[]
  /** Classes of the held-out pictures: the training's, then those that it lacks. */
  readonly heldOutClasses: readonly string[]
  /** SHA-256 of pictures, labels and split: the same digest is the same data. */
  readonly digest: string
  readonly notes: readonly string[]
}

export interface DataSetOptions extends ReadOptions {
  readonly data: string
  /** A folder of its own to measure on; else the folder's own split, else a cut that is made here. */
  readonly validation?: string | undefined
  /** Share of the pictures for a cut made here. */
  readonly share?: number
  readonly seed?: number
}

/** @throws MuninnError as `readFolder` */
export async function readDataSet({ data, validation, share = 0.15, seed = 1, ...options }: DataSetOptions): Promise<DataSet> {
  const folder = await readFolder(data, options)
  const notes = [...folder.notes]
  const apart =
    validation === undefined ? divide(folder, { share, seed, notes }) : await divided(folder, validation, options, notes)
  const training = leakFree(apart.training, apart.heldOut, notes)
  if (training.length === 0) throw new MuninnError('NOT_READY', `${data} leaves no picture to train on`)
  notes.push(...flattery(training, apart.heldOut))
  const empty = folder.classes.filter(
    (_, label) => !training.some(({ labels }) => labels.some((each) => each.label === label && !each.ignore)),
  )
  if (empty.length > 0) notes.push(`no box to learn from: ${some(empty, 6)}`)
  return {
    classes: folder.classes,
    heldOutClasses: apart.heldOutClasses ?? folder.classes,
    training,
    heldOut: apart.heldOut,
    digest: digestOf({ classes: folder.classes, training, heldOut: apart.heldOut }),
    notes,
  }
}

interface Apart {
  readonly training: readonly FolderSample[]
  readonly heldOut: readonly FolderSample[]
  readonly heldOutClasses?: readonly string[]
}

/** The folder's own split, else a cut. */
function divide({ samples }: LabelledFolder, { share, seed, notes }: { share: number; seed: number; notes: string[] }): Apart {
  const of = (split: FolderSample['split']) => samples.filter((sample) => sample.split === split)
  const [valid, test] = [of('valid'), of('test')]
  const rest = samples.filter(({ split }) => split === null || split === 'train')
  if (rest.length > 0 && valid.length + test.length > 0) {
    const heldOut = valid.length > 0 ? valid : test
    if (valid.length > 0 && test.length > 0)
      notes.push(
        `${test.length} pictures of the folder's test split are neither trained on nor measured; do that at the end with muninn evaluate --model`,
      )
    const others = new Set(samples.filter(({ split }) => split !== 'test').map(({ sha256 }) => sha256))
    const leaked = test.filter(({ sha256 }) => others.has(sha256)).map(({ name }) => name)
    if (leaked.length > 0)
      notes.push(
        `${leaked.length} of ${test.length} test pictures are byte for byte in the other splits, so the test proves less than it seems: ${some(leaked)}`,
      )
    notes.push(`held out: the folder's own ${valid.length > 0 ? 'validation' : 'test'} split, ${heldOut.length} pictures`)
    return { training: rest, heldOut }
  }
  const held = holdOut(samples, { share, seed })
  const heldOut = samples.filter((_, i) => held[i])
  notes.push(
    heldOut.length > 0
      ? `held out: ${heldOut.length} pictures (${((100 * heldOut.length) / samples.length).toFixed(0)} %) in whole runs of look-alikes; --validate names others`
      : `no picture is held out, for ${samples.length} are too few to spare any; --validate names a folder to measure on`,
  )
  return { training: samples.filter((_, i) => !held[i]), heldOut }
}

/** A folder of its own: its labels get the numbers of the training's classes, by name. */
async function divided(folder: LabelledFolder, validation: string, options: ReadOptions, notes: string[]): Promise<Apart> {
  const other = await readFolder(validation, options)
  const unknown = other.classes.filter((name) => !folder.classes.includes(name))
  const heldOutClasses = [...folder.classes, ...unknown]
  notes.push(...other.notes, `held out: ${other.samples.length} pictures of ${validation}`)
  if (unknown.length > 0)
    notes.push(`the held-out pictures have classes that the training lacks, and all of them will be missed: ${some(unknown, 6)}`)
  const heldOut = other.samples.map((sample) => ({
    ...sample,
    labels: sample.labels.map((each) => ({ ...each, label: heldOutClasses.indexOf(other.classes[each.label]!) })),
  }))
  return { training: folder.samples, heldOut, heldOutClasses }
}

/** A picture that is measured on must not be learnt: it leaves the training. */
function leakFree(training: readonly FolderSample[], heldOut: readonly FolderSample[], notes: string[]): readonly FolderSample[] {
  const measured = new Set(heldOut.map(({ sha256 }) => sha256))
  const leaked = training.filter(({ sha256 }) => measured.has(sha256))
  if (leaked.length > 0)
    notes.push(
      `${leaked.length} training pictures are byte for byte held-out ones and are left out of training: ${some(leaked.map(({ name }) => name))}`,
    )
  const left = training.filter(({ sha256 }) => !measured.has(sha256))
  for (const [what, samples] of [
    ['training', left],
    ['held-out', heldOut],
  ] as const) {
    const twins = twinsOf(samples)
    if (twins.length > 0)
      notes.push(
        `${twins.length} ${what} pictures are there twice: ${some(twins.map(([a, b]) => `${b.name} is ${a.name}${sameLabels(a, b) ? '' : ' with other labels'}`))}`,
      )
  }
  return left
}

/**
 * Look-alikes that somebody else's split has on both sides. They stay: a fixed camera's pictures all look alike, and whoever made the split
 * may have meant it so.
 */
function flattery(training: readonly FolderSample[], heldOut: readonly FolderSample[]): string[] {
  const thumbnails = (samples: readonly FolderSample[]) => samples.map(({ thumbnail }) => thumbnail)
  const pairs = acrossSplit(thumbnails(training), thumbnails(heldOut), sameMoment)
  if (pairs.length === 0) return []
  const named = pairs.map(({ first, second }) => `${heldOut[second]!.name} is like ${training[first]!.name}`)
  return [
    `${pairs.length} of ${heldOut.length} held-out pictures look like training pictures, so the model seems better than it is: ${some(named)}. Put look-alikes on one side, as a cut made here does`,
  ]
}

function twinsOf(samples: readonly FolderSample[]): [FolderSample, FolderSample][] {
  const first = new Map<string, FolderSample>()
  return samples.flatMap((sample): [FolderSample, FolderSample][] => {
    const known = first.get(sample.sha256)
    if (known) return [[known, sample]]
    first.set(sample.sha256, sample)
    return []
  })
}

const sameLabels = (a: FolderSample, b: FolderSample): boolean => JSON.stringify(a.labels) === JSON.stringify(b.labels)

function digestOf({ classes, training, heldOut }: Pick<DataSet, 'classes' | 'training' | 'heldOut'>): string {
  const digest = createHash('sha256').update(JSON.stringify(classes))
  for (const samples of [training, heldOut])
    digest.update(JSON.stringify(samples.map(({ sha256, labels }) => [sha256, labels]).sort()))
  return digest.digest('hex')
}
