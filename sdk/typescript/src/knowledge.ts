/** Documents that agents search together. */
import type { Hit, InputOf, OutputOf } from '@cadre/contract'
import { type Call, type CallOptions, splitOptions } from './calls.ts'

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
  return {
    add(content, given = {}) {
      const [options, fields] = splitOptions(given)
      return call('knowledge.add', { content, ...fields }, options)
    },
    async search(query, given = {}) {
      const [options, fields] = splitOptions(given)
      return (await call('knowledge.search', { query, ...fields }, options)).items
    },
    list(query = {}) {
      const [options, fields] = splitOptions(query)
      return call('knowledge.list', fields, options)
    },
    get: (id, options) => call('knowledge.get', { id }, options),
    chunks(id, query = {}) {
      const [options, fields] = splitOptions(query)
      return call('knowledge.chunks', { id, ...fields }, options)
    },
    delete: (id, options) => call('knowledge.delete', { id }, options),
    collections: {
      list(query = {}) {
        const [options, fields] = splitOptions(query)
        return call('knowledge.collections', fields, options)
      },
      create: (name, description, options) =>
        call('knowledge.create_collection', { name, ...(description !== undefined && { description }) }, options),
      delete: (name, options) => call('knowledge.delete_collection', { name }, options),
    },
  }
}
