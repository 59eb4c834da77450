/** The pages of the control room, each with its own address: `?page=<id>`, none for the team. */
export const pages = [
  { id: 'team', label: 'Team' },
  { id: 'timeline', label: 'Timeline' },
  { id: 'dead-letters', label: 'Dead letters' },
  { id: 'brakes', label: 'Loop brakes' },
  { id: 'rules', label: 'Rules' },
  { id: 'connections', label: 'Connections' },
] as const
export type PageId = (typeof pages)[number]['id']

export const pageOf = (id: string | null): PageId => pages.find((page) => page.id === id)?.id ?? 'team'
