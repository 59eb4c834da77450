/** Documents that agents search together. */
import type { Hit, InputOf, OutputOf } from '@cadre/contract'
import type { Call, CallOptions } from './calls.ts'
import { forwards } from './forwarding.ts'

export interface Knowledge {
  /** Adds a text; it is searchable at once. */
  add(content: string, fields?: Omit<InputOf<'knowledge.add'>, 'content'> & CallOptions): Promise<OutputOf<'knowledge.add'>>
  /** The best passages, best first; 5 unless `top_k` says otherwise. Offsets are UTF-16 units of the document's text. */
  search(query: string, fields?: Omit<InputOf<'knowledge.search'>, 'query'> & CallOptions): Promise<Hit[]>
  list(query?: InputOf<'knowledge.list'> & CallOptions): Promise<OutputOf<'knowledge.list'>>
  /** The document with its text. */
  get(id: string, options?: CallOptions): Promise<OutputOf<'knowledge.get'>>
  /** The passages of a document, in their order. */
  chunks(id: string, query?: Omit<InputOf<'knowledge.chunks'>, 'id'> & CallOptions): Promise<OutputOf<'knowledge.chunks'>>
  delete(id: string, options?: CallOptions): Promise<OutputOf<'knowledge.delete'>>
  collections: {
    list(query?: InputOf<'knowledge.collections'> & CallOptions): Promise<OutputOf<'knowledge.collections'>>
    create(name: string, description?: string, options?: CallOptions): Promise<OutputOf<'knowledge.create_collection'>>
    delete(name: string, options?: CallOptions): Promise<OutputOf<'knowledge.delete_collection'>>
  }
}

export function makeKnowledge(call: Call): Knowledge {
  const { find, ...methods } = forwards<
    Omit<Knowledge, 'search' | 'collections'> & {
      find: (...of: Parameters<Knowledge['search']>) => Promise<OutputOf<'knowledge.search'>>
    }
  >(call, {
    add: 'knowledge.add content',
    find: 'knowledge.search query',
    list: 'knowledge.list',
    get: 'knowledge.get id',
    chunks: 'knowledge.chunks id',
    delete: 'knowledge.delete id',
  })
  return {
    ...methods,
    search: async (query, fields) => (await find(query, fields)).items,
    collections: forwards<Knowledge['collections']>(call, {
      list: 'knowledge.collections',
      create: 'knowledge.create_collection name description',
      delete: 'knowledge.delete_collection name',
    }),
  }
}
