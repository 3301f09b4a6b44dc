/** The report's words in English and 中文, both in the page; a switch without a script shows one of them. English is the key. */
import { type Markup, markup } from './markup.ts'

const chinese = {
  Model: '模型',
  Training: '训练',
  'Held-out pictures': '留出图片',
  'Median time a picture': '单张耗时中位数',
  'File size': '文件大小',
  'Training time': '训练用时',
  'Nothing was held out, so how good the model is was not measured.': '没有留出图片，因此未测量模型的好坏。',
  '95 % intervals over pictures': '按图片重采样的 95 % 区间',
  'Against the champion': '与现役模型对比',
  champion: '现役模型',
  challenger: '新模型',
  'difference, on the same pictures': '差值（相同图片）',
  'milliseconds a picture': '毫秒/张',
  Curves: '曲线',
  Loss: '损失',
  all: '总计',
  boxes: '框',
  classes: '类别',
  'mAP while training': '训练中的 mAP',
  step: '步',
  'Precision over recall': '精确率–召回率',
  recall: '召回率',
  precision: '精确率',
  'Precision over recall at IoU 0.5; the classes with most true boxes.': 'IoU 0.5 下的精确率–召回率曲线；仅画真值框最多的类别。',
  'By class': '按类别',
  Class: '类别',
  'true boxes': '真值框',
  threshold: '阈值',
  'The threshold is the score with the best F1: what is proposed for deployment.': '阈值为 F1 最高处的分数，即建议的部署阈值。',
  'The 12 COCO numbers': 'COCO 的 12 项指标',
  'Where the errors are': '错误来源',
  'What mending each kind of error alone would add to AP50 (TIDE, Bolya et al. 2020). The parts need not add up.':
    '单独修复每类错误可为 AP50 增加多少（TIDE，Bolya 等 2020）。各部分之和不必等于总差距。',
  'right place, wrong class': '位置对，类别错',
  'right class, poor box': '类别对，框不准',
  'wrong class and poor box': '类别错且框不准',
  'found a second time': '重复检出',
  'nothing is there': '背景误检',
  'not found at all': '完全漏检',
  'all false positives': '所有误检',
  'all false negatives': '所有漏检',
  number: '数量',
  Confusion: '混淆矩阵',
  'Rows are the truth, columns what the model says, at the proposed thresholds and IoU 0.5. Shades are shares of the row.':
    '行为真值，列为模型输出；采用建议阈值与 IoU 0.5。颜色深浅表示占该行的比例。',
  background: '背景',
  others: '其他',
  truth: '真值',
  Calibration: '校准',
  'Does a score mean a probability? Bars: the share of detections that are right, by score. On the line it would be exact.':
    '分数是否等于概率？柱：各分数段中正确检测的比例；落在斜线上即为准确。',
  'Expected calibration error': '期望校准误差',
  score: '分数',
  'share that is right': '正确比例',
  detections: '检测数',
  'Worst pictures': '最差图片',
  'Solid green: the truth. Dashed orange: what the model says at the proposed thresholds. Named are those that are wrong.':
    '绿色实线：真值。橙色虚线：模型在建议阈值下的输出。仅标出有错的框。',
  missed: '漏检',
  'made up': '误检',
  'Nothing is wrong on any held-out picture.': '所有留出图片均无错误。',
  'Float and int8': '浮点与 int8',
  'int8 is proposed': '建议使用 int8',
  'The float file is proposed': '建议使用浮点模型',
  float: '浮点',
  size: '大小',
  Data: '数据',
  Digest: '摘要',
  'The same digest is the same pictures, labels and split.': '摘要相同即图片、标注与划分完全相同。',
  training: '训练',
  'held out': '留出',
  pictures: '图片',
  'showing nothing': '无目标图片',
  'To repeat it': '复现方法',
  Machine: '机器与版本',
  Settings: '设置',
  Notes: '说明',
  'trained on': '训练设备',
  'cut short': '提前结束',
  'the quickest here': '此处最快',
  'nothing else can here': '此处只有它可用',
  'as asked for': '按要求',
  not: '未用',
} as const satisfies Record<string, string>

export type Word = keyof typeof chinese

/** In a paragraph, a cell, a heading. */
export const say = (word: Word): Markup =>
  markup`<span class="en" lang="en">${word}</span><span class="zh" lang="zh">${chinese[word]}</span>`

/** Inside an SVG's text. */
export const saySvg = (word: Word): Markup =>
  markup`<tspan class="en" lang="en">${word}</tspan><tspan class="zh" lang="zh">${chinese[word]}</tspan>`
