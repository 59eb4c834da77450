import type { ReactNode } from 'react'
import type { Block, Cite, Inline } from '../markdown.ts'

/** How citation marks and struck passages are drawn; without them, as plain brackets and strikes. */
export interface Renderers {
  cite?: (node: Cite, key: number) => ReactNode
  strike?: (node: Inline, children: ReactNode, key: number) => ReactNode
}

// Headings begin below the panel's own, which is an h2.
const headings = ['h3', 'h3', 'h4', 'h5', 'h6', 'h6'] as const

/** Parsed Markdown as React elements: text only ever becomes text nodes. */
export function MarkdownView({ blocks, renderers = {} }: { blocks: readonly Block[]; renderers?: Renderers }) {
  return <div className="prose">{drawBlocks(blocks, renderers)}</div>
}

function drawBlocks(blocks: readonly Block[], renderers: Renderers): ReactNode[] {
  return blocks.map((block, key) => drawBlock(block, key, renderers))
}

function drawBlock(block: Block, key: number, renderers: Renderers): ReactNode {
  switch (block.kind) {
    case 'heading': {
      const Heading = headings[block.level - 1] ?? 'h6'
      return <Heading key={key}>{drawInline(block.children, renderers)}</Heading>
    }
    case 'paragraph':
      return <p key={key}>{drawInline(block.children, renderers)}</p>
    case 'quote':
      return <blockquote key={key}>{drawBlocks(block.blocks, renderers)}</blockquote>
    case 'code':
      return (
        <pre key={key} tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      )
    case 'rule':
      return <hr key={key} />
    case 'list': {
      const items = block.items.map((item, index) => (
        <li key={index}>
          {item.length === 1 && item[0]?.kind === 'paragraph'
            ? drawInline(item[0].children, renderers)
            : drawBlocks(item, renderers)}
        </li>
      ))
      return block.ordered ? (
        <ol key={key} start={block.start}>
          {items}
        </ol>
      ) : (
        <ul key={key}>{items}</ul>
      )
    }
    case 'table':
      return (
        <div key={key} className="scroll-quiet overflow-x-auto" tabIndex={0} role="group" aria-label="Table, scrollable">
          <table>
            <thead>
              <tr>
                {block.head.map((cell, index) => (
                  <th key={index} scope="col">
                    {drawInline(cell, renderers)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {block.rows.map((row, index) => (
                <tr key={index}>
                  {row.map((cell, column) => (
                    <td key={column}>{drawInline(cell, renderers)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )
  }
}

function drawInline(nodes: readonly Inline[], renderers: Renderers): ReactNode[] {
  return nodes.map((node, key) => {
    switch (node.kind) {
      case 'text':
        return node.text
      case 'code':
        return <code key={key}>{node.text}</code>
      case 'strong':
        return <strong key={key}>{drawInline(node.children, renderers)}</strong>
      case 'emphasis':
        return <em key={key}>{drawInline(node.children, renderers)}</em>
      case 'strike': {
        const children = drawInline(node.children, renderers)
        return renderers.strike?.(node, children, key) ?? <del key={key}>{children}</del>
      }
      case 'link':
        return (
          <a key={key} href={node.href} rel="noopener noreferrer" target="_blank">
            {drawInline(node.children, renderers)}
          </a>
        )
      case 'cite':
        return renderers.cite?.(node, key) ?? `[${node.numbers.join(', ')}]`
    }
  })
}
