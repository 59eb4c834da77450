import type { Row } from './row.ts'

export const dashboard = [
  ['UI-01', 'Watching agents', 'A change of state is on the page as it happens.'],
  [
    'UI-02',
    'Tasks with their marks',
    'Tasks move across a board by status, can be assigned by dragging and carry a mark when done.',
  ],
  ['UI-03', 'Conversations', 'Past messages are shown by conversation and can be searched.'],
  ['UI-04', 'Looking into memory', 'Entries, their versions and their readers can be browsed, compared and edited on a page.'],
  ['UI-05', 'System charts', 'The charts are drawn from current measurements.'],
  ['UI-06', 'Map of the conversation', 'A moving graph shows which agents exchange messages at present.'],
  ['UI-07', 'Task graph', 'The nodes of a running graph take the colour of their state.'],
  ['UI-08', 'Usable by everyone', 'All of it works by keyboard and on small screens, and passes the WCAG AA checks.'],
  ['UI-09', 'Reports on screen', 'Analytics pages take a period and let the figures be exported.'],
  ['UI-10', 'Acting from the page', 'Spawning, assigning, cancelling and editing memory need nothing but the page.'],
  [
    'UI-11',
    'Landing page',
    'Visitors can sign up, in and out, expired sessions and reduced motion are respected, axe finds nothing; past sign-in is the control room.',
  ],
  ['UI-12', 'Grafana boards', 'The supplied dashboards import and read the metrics under the names used here.'],
] as const satisfies readonly Row[]
