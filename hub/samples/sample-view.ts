/** A sample as people and programs see it. */
import { Type } from 'typebox'
import { Annotation, type SampleView, TaskState } from '../../protocol/http/labelling.ts'
import { parse, parseJson } from '../../protocol/parse.ts'
import { Detection, Reason } from '../../protocol/primitives.ts'
import type { SampleWithTask } from './sample-repository.ts'

const Detections = Type.Array(Detection)
const Reasons = Type.Array(Reason)
export const Annotations = Type.Array(Annotation)

export function viewSample(row: SampleWithTask): SampleView {
  return {
    id: row.id,
    device: row.device_id,
    camera: row.camera,
    capturedAt: row.captured_at,
    receivedAt: row.received_at,
    width: row.width,
    height: row.height,
    bytes: row.bytes,
    model: row.model,
    detections: parseJson(Detections, row.detections, 'stored detections'),
    reasons: parseJson(Reasons, row.reasons, 'stored reasons'),
    score: row.score,
    audit: row.audit,
    split: row.split,
    cluster: row.cluster,
    task: row.task_id,
    taskState: row.task_state === null ? null : parse(TaskState, row.task_state, 'stored state'),
    hasTruth: row.truth !== null,
    annotations: row.annotations === null ? null : parseJson(Annotations, row.annotations, 'stored annotations'),
  }
}
