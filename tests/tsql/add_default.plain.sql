ALTER TABLE [dbo].[orders] ADD CONSTRAINT [PK_orders] DEFAULT (getutcdate()) FOR [rv];
