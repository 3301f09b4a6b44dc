/** Every adapter by its name, and the one that finds out which fits. */
import { MuninnError } from '../../protocol/errors.ts'
import type { Adapter } from './adapter.ts'
import { damoYolo } from './damo-yolo.ts'
import { detr } from './detr.ts'
import { efficientdet } from './efficientdet.ts'
import { fastestdet } from './fastestdet.ts'
import { fcos } from './fcos.ts'
import { nanodet } from './nanodet.ts'
import { otherTask } from './other-task.ts'
import { picodet } from './picodet.ts'
import { raw } from './raw.ts'
import { retinanet } from './retinanet.ts'
import { rtmdet } from './rtmdet.ts'
import { ssd } from './ssd.ts'
import { yoloFastestV2 } from './yolo-fastestv2.ts'
import { yoloNas } from './yolo-nas.ts'
import { yolov4 } from './yolov4.ts'
import { yolov5 } from './yolov5.ts'
import { yolov8 } from './yolov8.ts'
import { yolox } from './yolox.ts'
import { yunet } from './yunet.ts'

/** In the order in which `auto` tries them: the more a family asks of the structure, the earlier. */
export const families: Readonly<Record<string, Adapter>> = {
  yolox,
  fastestdet,
  'yolo-fastestv2': yoloFastestV2,
  yunet,
  nanodet,
  picodet,
  'yolo-nas': yoloNas,
  'damo-yolo': damoYolo,
  rtmdet,
  yolov5,
  yolov4,
  yolov8,
  retinanet,
  efficientdet,
  fcos,
  ssd,
  detr,
  raw,
}

/** Most families fail at the shapes of the outputs; a reason from further in says more, and is read first. */
export const furtherFirst = (reasons: readonly string[]): string[] => reasons.toSorted((a, b) => depth(b) - depth(a))
export const depth = (reason: string): number => (reason.includes('its outputs are') ? 1 : 2)

/** Takes the first family that fits. @throws MuninnError BAD_MODEL with what each of them misses */
const auto: Adapter = async (foreign, options) => {
  const other = otherTask(foreign)
  if (other?.sure) throw new MuninnError('BAD_MODEL', other.words)
  const reasons: string[] = []
  for (const [name, adapter] of Object.entries(families)) {
    try {
      const adopted = await adapter(foreign, options)
      return { ...adopted, why: `${name}: ${adopted.why}` }
    } catch (error) {
      if (!(error instanceof MuninnError)) throw error
      reasons.push(`${name}: ${error.message}`)
    }
  }
  if (other) throw new MuninnError('BAD_MODEL', other.words)
  throw new MuninnError('BAD_MODEL', `no adapter fits this model\n  ${furtherFirst(reasons).join('\n  ')}`)
}

const named =
  (adapter: Adapter): Adapter =>
  (foreign, options) =>
    adapter(foreign, { ...options, named: true })

/** Those that people may name. */
export const adapters: Readonly<Record<string, Adapter>> = {
  auto,
  ...Object.fromEntries(Object.entries(families).map(([name, adapter]) => [name, named(adapter)])),
}
