ALTER TABLE [dbo].[it's "odd"; DROP TABLE x --]]] WITH CHECK CHECK CONSTRAINT [FK_orders_customers], [k]]];
