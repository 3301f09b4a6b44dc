/** Dataset versions and their records. */
import { type Static, Type } from 'typebox'
import { ClassName, Sha256, Time } from '../primitives.ts'
import { Annotation, Split } from './labelling.ts'

const strict = { additionalProperties: false }

export const DatasetVersion = Type.Object(
  {
    id: Type.Integer(),
    /** SHA-256 of its records' canonical text: same content, same digest. */
    digest: Sha256,
    createdAt: Time,
    createdBy: Type.String(),
    classes: Type.Array(ClassName),
    train: Type.Integer(),
    heldOut: Type.Integer(),
    annotations: Type.Integer(),
    perClass: Type.Record(Type.String(), Type.Integer()),
    /**
     * Labelled pictures to learn from that are not in it, by why: chosen at random for evaluation; in the near-duplicate cluster of a
     * held-out picture; a near-duplicate of a held-out picture of another cluster.
     */
    leftOut: Type.Object({ audit: Type.Integer(), cluster: Type.Integer(), lookalike: Type.Integer() }, strict),
  },
  strict,
)
export type DatasetVersion = Static<typeof DatasetVersion>

/** GET /api/datasets/:id/records: `image` is a blob (GET /api/blobs/:sha256) and the sample's id. */
export const DatasetRecord = Type.Object(
  {
    image: Sha256,
    width: Type.Integer(),
    height: Type.Integer(),
    camera: Type.String(),
    capturedAt: Time,
    audit: Type.Boolean(),
    cluster: Type.Integer(),
    split: Split,
    annotations: Type.Array(Annotation),
    /** Classes that were added after it was labelled: nobody looked for them. Left out where there are none. */
    notExhaustive: Type.Optional(Type.Array(ClassName)),
  },
  strict,
)
export type DatasetRecord = Static<typeof DatasetRecord>
