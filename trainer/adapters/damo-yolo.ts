/**
 * DAMO-YOLO (Alibaba, 2022) as exported without suppression: RGB 0..255, the picture stretched; scores and boxes in an output each, measured from the
 * corners of cells.
 */
import { asTrained } from './adapter.ts'
import { besideScores } from './boxes-beside-scores.ts'

export const damoYolo = besideScores({
  family: 'DAMO-YOLO',
  architecture: 'damo-yolo',
  normalization: asTrained,
  resize: 'stretch',
  pictures: 'pictures as its authors have them, pixels of 0 to 255',
  // Its own loss: quality focal and distribution focal loss, and cells chosen by what is predicted (AlignedOTA).
  head: 'nanodet-plus',
  cellOffset: 0,
})
