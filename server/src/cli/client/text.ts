/** Text for a terminal: what may be shown, how wide it is, how it is cut. */

// Other people's text must not move the cursor or change the title of this terminal.
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** Without control characters; tabs and line ends stay. */
export const printable = (text: string): string => text.replaceAll('\r\n', '\n').replaceAll(controls, '\u{fffd}')

/** The same on one line. */
export const oneLine = (text: string): string => printable(text).replaceAll(/\s+/g, ' ').trim()

const graphemes = new Intl.Segmenter()
const plain = /^[\u0020-\u007e]*$/
const wide =
  /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}])/u
const mark = /^\p{M}+$/u

const graphemeWidth = (grapheme: string): number => (wide.test(grapheme) ? 2 : mark.test(grapheme) ? 0 : 1)

/** Columns the text takes; it has no colours and no controls. */
export function widthOf(text: string): number {
  if (plain.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment)
  return width
}

/** At most `width` columns; what is cut ends in an ellipsis. */
export function fit(text: string, width: number): string {
  if (text.length <= width && plain.test(text)) return text
  // A long document is cut before it is measured.
  const head = text.length > width * 16 ? text.slice(0, width * 16) : text
  if (head === text && widthOf(text) <= width) return text
  let cut = ''
  let room = width - 1
  for (const { segment } of graphemes.segment(head)) {
    room -= graphemeWidth(segment)
    if (room < 0) break
    cut += segment
  }
  return `${cut.trimEnd()}…`
}

export const pad = (text: string, width: number, right = false): string => {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)))
  return right ? space + text : text + space
}
