/** A raw slice of markdown as one line of plain prose: what a sentence of the report shows. Words, numbers and their order stay. */
export function plainText(raw: string): string {
  let text = raw.length > 8000 ? raw.slice(0, 8000) : raw
  text = text.replaceAll('\uFEFF', '').replace(/\s+/g, ' ').trim()
  text = text.replace(/<!--.{0,400}?-->/g, '')
  if (text.includes(']('))
    text = text
      .replace(/!\[([^\][]{0,300})\]\([^()\s]{0,600}\)/g, '$1')
      .replace(/\[([^\][]{1,300})\]\([^()\s]{0,600}(?: "[^"]{0,200}")?\)/g, '$1')
  // Footnote and citation marks of the source would read like ours.
  text = text.replace(/\s?\[\^?\d{1,3}\]/g, '')
  text = text.replace(/<\/?(?:b|i|em|strong|code|br|sub|sup|u|span|p|kbd)\s?\/?>/gi, '')
  text = text.replace(/^(?:[-*+•·▪◦]|\d{1,3}[.)]|#{1,6}|>)\s+/, '').replace(/^\[[ xX]\]\s+/, '')
  text = text
    .replace(/(\*{1,3})(?=\S)([^*]{1,400}?\S|\S)\1/g, '$2')
    .replace(/(?<![\p{L}\p{N}])(_{1,2})(?=\S)([^_]{1,400}?\S|\S)\1(?![\p{L}\p{N}])/gu, '$2')
  text = text
    .replace(/`{1,3}([^`]{1,400})`{1,3}/g, '$1')
    .replaceAll('~~', '')
    .replaceAll('**', '')
  if (text.startsWith('|')) text = text.replace(/^\|\s*|\s*\|$/g, '').replace(/\s*\|\s*/g, ' · ')
  return text.replace(/\s{2,}/g, ' ').trim()
}
