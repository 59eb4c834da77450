/** Bytes to text, so that every later offset counts UTF-16 units of exactly this string: the byte order mark and CRLF stay in it. */

export type Decoded = { text: string; encoding: string } | { binary: string }

const probeBytes = 65_536

/**
 * Encoding by byte order mark, else by the pattern of zero bytes, else UTF-8, else the `declared` label, else windows-1252.
 * Answers `{ binary: why }` for bytes that are no text in any of them.
 */
export function decodeText(bytes: Uint8Array, declared?: string): Decoded {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return decodeAs('utf-8', bytes)
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return decodeAs('utf-16le', bytes)
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return decodeAs('utf-16be', bytes)
  const probe = bytes.subarray(0, probeBytes)
  const wide = wideEncoding(probe)
  if (wide !== undefined) return decodeAs(wide, bytes)
  const why = binaryReason(probe)
  if (why !== undefined) return { binary: why }
  const strict = tryDecode('utf-8', bytes, true)
  if (strict !== undefined) return { text: strict, encoding: 'utf-8' }
  if (declared !== undefined) {
    const text = tryDecode(declared, bytes, false)
    if (text !== undefined) return { text, encoding: declared }
  }
  // A few broken bytes in an otherwise UTF-8 file must not turn every accent of it into two letters.
  const lenient = tryDecode('utf-8', bytes, false) ?? ''
  const { broken, good } = countReplaced(lenient)
  if (good > broken * 4) return { text: lenient, encoding: 'utf-8' }
  return decodeAs('windows-1252', bytes)
}

function decodeAs(encoding: string, bytes: Uint8Array): Decoded {
  const text = tryDecode(encoding, bytes, false) ?? ''
  return { text, encoding }
}

function tryDecode(encoding: string, bytes: Uint8Array, fatal: boolean): string | undefined {
  try {
    return new TextDecoder(encoding, { ignoreBOM: true, fatal }).decode(bytes)
  } catch {
    return undefined
  }
}

/** UTF-16 without a mark shows zero bytes on one side of nearly every pair, as long as the text is mostly Latin. */
function wideEncoding(probe: Uint8Array): string | undefined {
  const pairs = Math.floor(probe.length / 2)
  if (pairs < 4) return undefined
  let low = 0
  let high = 0
  for (let i = 0; i < pairs * 2; i += 2) {
    if (probe[i] === 0) high += 1
    if (probe[i + 1] === 0) low += 1
  }
  if (low > pairs * 0.7 && high < pairs * 0.02) return 'utf-16le'
  if (high > pairs * 0.7 && low < pairs * 0.02) return 'utf-16be'
  return undefined
}

function binaryReason(probe: Uint8Array): string | undefined {
  let control = 0
  for (const byte of probe) {
    if (byte === 0) return 'it holds zero bytes'
    if (byte < 0x09 || (byte > 0x0d && byte < 0x20 && byte !== 0x1b)) control += 1
  }
  return control > probe.length * 0.02 ? 'it holds control characters' : undefined
}

function countReplaced(text: string): { broken: number; good: number } {
  let broken = 0
  let good = 0
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code === 0xfffd) broken += 1
    else if (code > 0x7f) good += 1
  }
  return { broken, good }
}
