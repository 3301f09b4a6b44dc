/** Colours that classes get in turn: far enough apart on a photograph, by day and by night. */
export const classColors = [
  '#e8590c',
  '#1971c2',
  '#2f9e44',
  '#f08c00',
  '#9c36b5',
  '#0c8599',
  '#e03131',
  '#6741d9',
  '#66a80f',
  '#c2255c',
] as const

/** @param count how many classes there are already */
export const colorOfNewClass = (count: number): string => classColors[count % classColors.length]!
