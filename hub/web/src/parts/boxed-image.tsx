/** A sample's picture with boxes drawn over it, sharp at any size. */
import { Box } from '@mantine/core'
import type { ReactNode } from 'react'
import { imageOf } from '../api.ts'

export interface DrawnBox {
  readonly box: readonly [number, number, number, number]
  readonly label: string
  readonly color?: string
  readonly dashed?: boolean
  readonly score?: number
}

export interface BoxedImageProps {
  readonly sample?: string
  readonly src?: string
  readonly width: number
  readonly height: number
  readonly boxes: readonly DrawnBox[]
  readonly thumbnail?: number
  readonly labels?: boolean
  readonly children?: ReactNode
}

export function BoxedImage({ sample, src, width, height, boxes, thumbnail, labels = false, children }: BoxedImageProps) {
  const unit = Math.max(width, height) / 100
  return (
    <Box
      pos="relative"
      style={{
        aspectRatio: `${width} / ${height}`,
        overflow: 'hidden',
        borderRadius: 6,
        background: 'var(--mantine-color-dark-7)',
      }}
    >
      <img
        src={src ?? imageOf(sample!, thumbnail)}
        alt=""
        loading="lazy"
        style={{ width: '100%', height: '100%', display: 'block', objectFit: 'cover' }}
      />
      <svg
        viewBox={`0 0 ${width} ${height}`}
        style={{ position: 'absolute', inset: 0, width: '100%', height: '100%' }}
        role="presentation"
      >
        {boxes.map(({ box: [x1, y1, x2, y2], label, color = '#4dabf7', dashed, score }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: boxes have no identity of their own and never move within the list
          <g key={i}>
            <rect
              x={x1}
              y={y1}
              width={Math.max(0, x2 - x1)}
              height={Math.max(0, y2 - y1)}
              fill="none"
              stroke={color}
              strokeWidth={2}
              vectorEffect="non-scaling-stroke"
              strokeDasharray={dashed ? '5 4' : undefined}
            />
            {labels && (
              <text
                x={x1 + unit * 0.3}
                y={Math.max(unit * 2.4, y1 - unit * 0.5)}
                fontSize={unit * 2.2}
                fill={color}
                stroke="#000"
                strokeWidth={unit * 0.35}
                paintOrder="stroke"
              >
                {label}
                {score === undefined ? '' : ` ${score.toFixed(2)}`}
              </text>
            )}
          </g>
        ))}
      </svg>
      {children}
    </Box>
  )
}
