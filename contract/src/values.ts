/** Values shared by all subjects: ids, times, paging, receipts, priorities. */
import { z } from 'zod'

export const id = z.string().min(1).max(128).meta({ description: 'Opaque, time-ordered identifier.' })
/** Id or name: names are unique in a tenant, so either finds the agent. */
export const agentRef = z.string().min(1).max(128).meta({ description: 'Agent id or name.' })
export const time = z.string().max(40).meta({ format: 'date-time', description: 'ISO 8601, UTC.' })
export const duration = z.number().int().min(0).max(31_536_000_000).meta({ description: 'Milliseconds.' })
export const json = z.unknown().meta({ description: 'Any JSON value; returned unchanged.' })
export const metadata = z.record(z.string(), z.unknown()).meta({ description: 'Free-form object; returned unchanged.' })
export const name = z
  .string()
  .min(1)
  .max(128)
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._@:-]*$/u,
    'Begin with a letter or a digit; then letters, digits, blanks and . _ @ : - may follow.',
  )
export const capability = z.string().min(1).max(64)

export const limit = z.number().int().min(1).max(500).default(50)
export const cursor = z.string().max(512).optional().meta({ description: 'The `next` of the page before.' })
export const page = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next: z.string().nullable() })

/** Proof of a durable write: it is answered only after the commit. */
export const receipt = z.object({
  id: z.string(),
  seq: z.number().int(),
  store_epoch: z.string(),
  duplicate: z.boolean(),
})
export type Receipt = z.infer<typeof receipt>

const priorityNames = { critical: 1, high: 2, normal: 3, low: 4 } as const
/** 1 critical, 2 high, 3 normal, 4 low; numbers up to 9 are taken as lower still. Lower runs first. Both spellings are accepted. */
export const priority = z.union([z.number().int().min(1).max(9), z.enum(['critical', 'high', 'normal', 'low'])])
export const toPriority = (value: z.infer<typeof priority> | undefined): number =>
  value === undefined ? 3 : typeof value === 'number' ? value : priorityNames[value]

/** One table of agent types and capabilities that the source documents spell in several ways. */
const synonyms = new Map(
  Object.entries({
    research: 'researcher',
    research_agent: 'researcher',
    analysis: 'analyst',
    analysis_agent: 'analyst',
    coordination: 'coordinator',
    coordinator_agent: 'coordinator',
    project_manager: 'coordinator',
    decomposition: 'decomposer',
    task_decomposition: 'decomposer',
    writing: 'writer',
    reviewer: 'oversight',
    search_web: 'web_search',
  }),
)
/** The form in which types and capabilities are compared: lower case, underscores, synonyms folded. */
export const canonical = (value: string): string => {
  const flat = value
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_')
  return synonyms.get(flat) ?? flat
}
