/** One promise of the product: its permanent id, a short name, and what someone who tries it gets to see. */
export type Row = readonly [id: `${Uppercase<string>}-${number}`, title: string, behaviour: string]
