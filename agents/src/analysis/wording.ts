/** How computed numbers are written: one way everywhere, so that recomputing a sentence gives the same characters. */

/** 1234567.891 -> "1,234,567.89"; small numbers keep three significant digits. */
export function number(value: number): string {
  const size = Math.abs(value)
  if (Number.isInteger(value)) return grouped(value.toFixed(0))
  if (size >= 1000) return grouped(value.toFixed(Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1))
  if (size >= 1) return grouped(trimZeros(value.toFixed(2)))
  return value === 0 ? '0' : trimZeros(value.toPrecision(3))
}

/** With the sign that the column's cells carry: "$1,200", "12.5 %". */
export function amount(value: number, unit: string): string {
  if (unit === '') return number(value)
  if (unit === '%') return `${number(value)}%`
  return value < 0 ? `-${unit}${number(-value)}` : `${unit}${number(value)}`
}

/** 0.125 -> "+12.5%"; `signed` false leaves the plus out. */
export function percent(share: number, signed = true): string {
  const value = share * 100
  const text = trimZeros(value.toFixed(Math.abs(value) >= 1000 ? 0 : 1))
  return `${signed && value > 0 ? '+' : ''}${grouped(text)}%`
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function trimZeros(text: string): string {
  return text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : text
}

function grouped(text: string): string {
  const [whole = '', rest] = text.split('.')
  const out = whole.replace(/\B(?=(?:\d{3})+$)/g, ',')
  return rest === undefined ? out : `${out}.${rest}`
}
