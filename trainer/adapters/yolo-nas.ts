/**
 * YOLO-NAS (Deci, 2023) and PP-YOLOE (Baidu, 2022) as exported without suppression: RGB / 255, boxes and scores in an output each, measured from the
 * centres of cells.
 */
import { asTrained } from './adapter.ts'
import { besideScores } from './boxes-beside-scores.ts'

export const yoloNas = besideScores({
  family: 'YOLO-NAS',
  architecture: 'yolo-nas',
  normalization: { ...asTrained, scale: 1 / 255 },
  resize: 'letterbox',
  pictures:
    'pictures as YOLO-NAS has them (PP-YOLOE has them with --resize stretch, where it is no PP-YOLOE+ also --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225)',
  // Its own loss is near to YOLOv8's: task-aligned targets, overlap and distribution focal loss.
  head: 'yolov8',
  cellOffset: 0.5,
})
