/** Gathers what the documents say on each question, with the exact place of every sentence. */
import type { Hub } from '@cadre/sdk'
import type { Passage } from '../citation.ts'
import { type Answer, composeReport, notSaid } from '../report/compose.ts'
import { extractEvidence } from '../research/extract.ts'
import { narrowPassages } from '../research/narrow.ts'
import { type Question, readQuestions } from '../text/question.ts'
import { type Corpus, Library } from './corpus.ts'
import { jobOf, pause, textOf, wordsOf } from './job.ts'
import { dossierTool } from './knowledge.ts'
import { Running, graceFor } from './running.ts'

/** Evidence as it travels: the question as text, read again by the writer. */
export interface ResearchResult {
  answers: (Omit<Answer, 'question'> & { question: string })[]
  dossier: number | null
}

export function researcher(hub: Hub): void {
  const library = new Library(hub)
  const running = new Running()

  hub.onTask((task, context) => {
    return running.track(task.id, run())

    async function run(): Promise<ResearchResult | Awaited<ReturnType<typeof answerFromKnowledge>>> {
      const job = jobOf(task)
      if (!job) return answerFromKnowledge(hub, wordsOf(task))
      await context.progress(0.1, 'opening the dossier')
      // A number given to the outside must not be given twice, whoever repeats this task.
      const call = await context.tool(
        dossierTool,
        { collection: job.corpus.collection, subject: job.own[0] ?? job.goal },
        { key: 'number' },
      )
      await pause(context, job.pace_ms)
      const questions = readQuestions(job.questions).filter((question) => job.own.includes(question.text))
      const answers: ResearchResult['answers'] = []
      for (const [index, question] of questions.entries()) {
        await context.progress(0.2 + (0.7 * index) / questions.length, `reading for: ${question.text.slice(0, 80)}`)
        const passages = await passagesFor(library, job.corpus, question)
        const answer = research(question, passages, job.questions.length, await library.headingFinder(job.corpus, passages))
        answers.push({ ...answer, question: question.text })
        await pause(context, job.pace_ms)
      }
      return { answers, dossier: (call.result as { number?: number } | null)?.number ?? null }
    }
  })

  // A note on a task is settled with the task: if this process dies first, the note comes again.
  hub.onMessage(async (message) => message.task_id && running.settled(message.task_id, graceFor(message.attempt)), {
    type: 'task.note',
  })
  hub.onMessage((message) => answerFromKnowledge(hub, textOf(message.content)))
}

async function passagesFor(library: Library, corpus: Corpus, question: Question): Promise<Passage[]> {
  if (question.overview) return library.openings(corpus)
  // "How much does it cost?" is searched with what "it" was in the question before.
  const words = [question.text, ...question.terms.map((term) => term.text)].join(' ')
  return (await library.everything(corpus)) ?? library.search(corpus, words)
}

function research(
  question: Question,
  passages: Passage[],
  questions: number,
  headingOf?: (document: string, offset: number) => string,
): Answer {
  const limit = question.overview || question.kinds.includes('conclusion') ? 10 : questions > 1 ? 5 : 8
  const { answered, reason, evidence, orders } = extractEvidence(question, narrowPassages(question, passages), {
    limit,
    ...(headingOf && { headingOf }),
  })
  return { question, answered, reason, evidence, orders }
}

/** A question from anyone, answered from all knowledge the agent may see; sources are named by title. */
export async function answerFromKnowledge(hub: Hub, text: string) {
  const [question] = readQuestions([text.slice(0, 2000)])
  if (!question || text.trim() === '') return { answered: false, summary: notSaid, sources: [] }
  const items = await hub.knowledge.search(text.slice(0, 2000), { top_k: 50 })
  const texts = new Map<string, { title: string; pieces: Map<number, string> }>()
  const passages = items.map((hit): Passage => {
    const known = texts.get(hit.document_id) ?? { title: hit.title, pieces: new Map<number, string>() }
    known.pieces.set(hit.start, hit.text)
    texts.set(hit.document_id, known)
    return { document: hit.document_id, chunk: hit.chunk, start: hit.start, end: hit.end, text: hit.text }
  })
  const answer = research(question, passages, 1)
  const slice = (document: string) => ({
    slice(start: number, end: number) {
      for (const [from, piece] of texts.get(document)?.pieces ?? [])
        if (from <= start && end <= from + piece.length) return piece.slice(start - from, end - from)
      return ''
    },
  })
  const report = composeReport({
    goal: text,
    title: text.slice(0, 120),
    answers: [answer],
    tables: [],
    chunkAt: () => 0,
    textOf: (document) => slice(document) as unknown as string,
  })
  return {
    answered: report.answered,
    summary: report.answered ? report.claims.map((claim) => claim.text).join(' ') : notSaid,
    claims: report.claims.map((claim) => ({
      text: claim.text,
      sources: claim.citations.map((citation) => ({
        document_id: citation.document,
        title: texts.get(citation.document)?.title ?? '',
        chunk: citation.chunk,
        start: citation.start,
        end: citation.end,
        quote: citation.quote,
      })),
    })),
    sources: [
      ...new Set(report.claims.flatMap((claim) => claim.citations.map((citation) => texts.get(citation.document)?.title ?? ''))),
    ],
  }
}
