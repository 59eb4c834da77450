import type { Row } from './row.ts'

export const knowledge = [
  ['KNW-01', 'Adding knowledge', 'Text that was just added can be found by search before a second is over.'],
  [
    'KNW-02',
    'Search by meaning',
    'The best five come back by default; offline ranking is no worse than BM25 on SciFact, and a neural embedder finds a paraphrase without common words.',
  ],
  ['KNW-03', 'Filters', 'Tag, agent or date leaves fewer results, all of them fitting.'],
  ['KNW-04', 'Collections', 'They are created, listed, organised and deleted over the API and on a page.'],
  ['KNW-05', 'Private entries', 'What an agent keeps private is found by no other agent.'],
  [
    'KNW-06',
    'Recent and often used',
    'Entries of the last sixty minutes can be asked for, and each hit raises the access count.',
  ],
  ['KNW-07', 'Changing an entry', 'A change computes the embedding anew and keeps the former version.'],
  ['KNW-08', 'Models by content type', 'A prose collection and a code collection are embedded by different models.'],
  ['KNW-09', 'Embedding cache', 'Text seen before is added again without the embedder being called.'],
  ['KNW-10', 'Own embedding pipelines', 'A function supplied from outside is plugged in and a collection is embedded by it.'],
  [
    'KNW-11',
    'Exchangeable vector stores',
    'Configuration alone selects the built-in store, pgvector, Pinecone, Weaviate or Chroma, and one suite passes on each.',
  ],
  ['KNW-12', 'Vector statistics', 'Number of items, dimensions, size and latency are displayed.'],
  ['KNW-13', 'Document ingestion', 'An uploaded file is cut into chunks that answers can cite.'],
  [
    'KNW-14',
    'Sentence-Transformers',
    'For the same model the vectors differ from those of the Python library by less than 1e-4.',
  ],
  ['KNW-15', 'Knowledge on all nodes', 'An entry added at one node turns up in a search at another.'],
] as const satisfies readonly Row[]
