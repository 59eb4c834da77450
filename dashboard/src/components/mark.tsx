import type { ReactNode } from 'react'
import type { MarkName, Tone } from '../states.ts'

const ring = <circle cx="8" cy="8" r="6.25" />
const shapes: Readonly<Record<MarkName, ReactNode>> = {
  circle: ring,
  clock: (
    <>
      {ring}
      <path d="M8 4.5V8l2.25 1.5" />
    </>
  ),
  dot: (
    <>
      {ring}
      <circle cx="8" cy="8" r="2" fill="currentColor" stroke="none" />
    </>
  ),
  quarter: (
    <>
      {ring}
      <path d="M8 3.5A4.500 4.500 0 0 1 12.500 8H8Z" fill="currentColor" stroke="none" />
    </>
  ),
  half: (
    <>
      {ring}
      <path d="M8 3.500a4.500 4.500 0 0 1 0 9Z" fill="currentColor" stroke="none" />
    </>
  ),
  hand: (
    <>
      {ring}
      <path d="M6.250 6.400a1.800 1.800 0 1 1 2.600 1.600c-.600.300-.850.600-.850 1.200" />
      <circle cx="8" cy="11.300" r=".9" fill="currentColor" stroke="none" />
    </>
  ),
  lock: (
    <>
      <rect x="3" y="7" width="10" height="6.500" rx="1.500" />
      <path d="M5.250 7V5.250a2.750 2.750 0 0 1 5.500 0V7" />
    </>
  ),
  pause: (
    <>
      {ring}
      <path d="M6.250 5.750v4.500M9.750 5.750v4.500" />
    </>
  ),
  check: (
    <>
      <circle cx="8" cy="8" r="7" fill="currentColor" stroke="none" />
      <path d="m4.900 8.200 2.150 2.150 4.100-4.500" className="stroke-surface" />
    </>
  ),
  cross: (
    <>
      <circle cx="8" cy="8" r="7" fill="currentColor" stroke="none" />
      <path d="m5.600 5.600 4.800 4.800m0-4.800-4.800 4.800" className="stroke-surface" />
    </>
  ),
  slash: (
    <>
      {ring}
      <path d="m3.800 12.200 8.400-8.400" />
    </>
  ),
  skip: <path d="M2 11c1-5 8-6.500 10.500-2.500M13.250 4.500v4.250H9" />,
}

export const toneText: Readonly<Record<Tone, string>> = {
  quiet: 'text-faint',
  active: 'text-accent',
  good: 'text-good',
  bad: 'text-bad',
  wait: 'text-wait',
}

/** The shape of a state. Decoration only: the word stands beside it or in the name of the control around it. */
export function Mark({ name, tone, size = 16 }: { name: MarkName; tone: Tone; size?: number }) {
  return (
    <svg
      viewBox="0 0 16 16"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={`shrink-0 ${toneText[tone]} ${name === 'half' && tone === 'active' ? 'turning' : ''}`}
    >
      {shapes[name]}
    </svg>
  )
}
