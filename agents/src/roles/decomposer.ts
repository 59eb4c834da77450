/** Turns a goal into a plan of four to eight tasks; a configured model may word the questions, the rules keep the shape. */
import type { Hub, TaskContext } from '@cadre/sdk'
import { inventoryOf } from '../offline.ts'
import { type InventoryEntry, type Plan, decomposeGoal } from '../plan/decompose.ts'
import { parsePlan, planMessages } from '../prompts/plan.ts'
import { type CorpusDocument, Library } from './corpus.ts'
import { generate, textOf, wordsOf } from './job.ts'

const maxInventory = 400

export function decomposer(hub: Hub): void {
  const library = new Library(hub)

  async function plan(goal: string, documents: readonly CorpusDocument[], proof?: TaskContext['proof']): Promise<Plan> {
    const inventory: InventoryEntry[] = []
    for (const entry of documents.slice(0, maxInventory)) inventory.push(inventoryOf(await library.loaded(entry)))
    const answer = await generate(hub, planMessages(goal, inventory), proof)
    return (answer === undefined ? undefined : parsePlan(answer, goal, inventory)) ?? decomposeGoal(goal, inventory)
  }

  hub.onTask((task, context) => {
    const input = task.input as { goal?: string; documents?: CorpusDocument[] } | null
    return plan(input?.goal ?? wordsOf(task), input?.documents ?? [], context.proof)
  })
  hub.onMessage((message) => {
    const documents = (message.content as { documents?: CorpusDocument[] } | null)?.documents
    return plan(textOf(message.content, 'goal'), Array.isArray(documents) ? documents : [])
  })
}
