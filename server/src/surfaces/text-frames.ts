/**
 * Text messages of the WebSocket protocol (RFC 6455, section 5.2), unmasked as a server sends them. All messages of a turn become one
 * buffer and one write: handed to the socket one by one, their heads and texts were 20 % of a busy server.
 */
const finalText = 0x81

/** Many followers of the log are sent the same text in turn: it is encoded once. */
let lastText = ''
let lastBytes: Buffer | undefined

export function encodeTexts(texts: readonly string[]): Buffer {
  const [only] = texts
  if (texts.length !== 1 || only === undefined) return encode(texts)
  if (lastBytes !== undefined && only === lastText) return lastBytes
  const length = Buffer.byteLength(only)
  const bytes = Buffer.allocUnsafe(length + headSize(length))
  bytes.write(only, writeHead(bytes, 0, length))
  lastText = only
  lastBytes = bytes
  return bytes
}

function encode(texts: readonly string[]): Buffer {
  const lengths = texts.map((text) => Buffer.byteLength(text))
  const total = lengths.reduce((sum, length) => sum + length + headSize(length), 0)
  const bytes = Buffer.allocUnsafe(total)
  let at = 0
  for (const [index, text] of texts.entries()) {
    at = writeHead(bytes, at, lengths[index] as number)
    at += bytes.write(text, at)
  }
  return bytes
}

const headSize = (length: number): number => (length < 126 ? 2 : length < 65_536 ? 4 : 10)

function writeHead(bytes: Buffer, at: number, length: number): number {
  bytes[at] = finalText
  if (length < 126) {
    bytes[at + 1] = length
    return at + 2
  }
  if (length < 65_536) {
    bytes[at + 1] = 126
    return bytes.writeUInt16BE(length, at + 2)
  }
  bytes[at + 1] = 127
  return bytes.writeBigUInt64BE(BigInt(length), at + 2)
}
