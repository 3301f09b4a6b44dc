/** Cuts a file into the retained pieces that devices fetch. Pure. */
import { pieceBytes } from '../../protocol/topics.ts'

export const pieceCount = (bytes: number) => Math.ceil(bytes / pieceBytes)

/** Views into `file`, `pieceBytes` each but the last. */
export function* pieces(file: Uint8Array): Generator<{ piece: number; bytes: Uint8Array }> {
  for (let piece = 0; piece < pieceCount(file.length); piece++)
    yield { piece, bytes: file.subarray(piece * pieceBytes, (piece + 1) * pieceBytes) }
}
