ALTER TABLE [dbo].[it's "odd"; DROP TABLE x --]]] NOCHECK CONSTRAINT [FK_orders_customers], [k]]];
